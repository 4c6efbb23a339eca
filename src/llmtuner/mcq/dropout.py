"""The dropout of a model, all of it at once."""

from __future__ import annotations

from typing import Any

from torch import nn

from llmtuner.mcq.model import HEAD


def has_dropout(model: Any) -> bool:
    """Whether anything in a model is dropped in training: in its backbone, an adapter, or the head."""
    return any(_numbers(module) for module in model.modules())


def _numbers(module: Any) -> dict[str, float]:
    """The dropout of one module by attribute, where it is above 0; leaving out whole layers is another thing."""
    found = {
        name: value
        for name, value in vars(module).items()
        if "drop" in name and "layer" not in name and isinstance(value, int | float) and not isinstance(value, bool)
    }
    if isinstance(module, nn.Dropout):
        found["p"] = module.p
    return {name: value for name, value in found.items() if value > 0}


def set_dropout(model: Any, probability: float) -> int:
    """Give every dropout of a backbone one probability, in place; adapters and the head keep theirs.

    Dropout stands in modules (BERT) or in numbers that a layer hands to its attention (Llama); both are set. Leaving
    whole layers out (layerdrop) is another thing.

    Returns:
        how many there were to set
    """
    found = 0
    for name, module in model.named_modules():
        if f".{HEAD}" in f".{name}" or "lora_" in name:
            continue
        if isinstance(module, nn.Dropout):
            module.p = probability
            found += 1
        for attribute, value in vars(module).items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if "drop" in attribute and "layer" not in attribute and number:
                setattr(module, attribute, probability)
                found += 1
    return found
