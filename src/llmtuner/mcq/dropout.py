"""Reads and sets all of a model's dropout at once."""

from __future__ import annotations

from typing import Any

from torch import nn

from llmtuner.mcq.model import HEAD


def has_dropout(model: Any) -> bool:
    """Whether the model has any dropout in training: in its backbone, an adapter, or the head."""
    return any(getattr(module, name) > 0 for module in model.modules() for name in _attributes(module))


def set_dropout(model: Any, probability: float) -> int:
    """Set every dropout of a backbone to one probability, in place; adapters and the head keep theirs.

    Returns:
        how many dropouts were set
    """
    count = 0
    for name, module in model.named_modules():
        if f".{HEAD}" in f".{name}" or "lora_" in name:
            continue
        for attribute in _attributes(module):
            setattr(module, attribute, probability)
            count += 1
    return count


def _attributes(module: Any) -> list[str]:
    """Names of the attributes that hold a module's dropout: it is one (BERT), or passes a rate to attention (Llama).

    Layerdrop, which skips whole layers, does not count as dropout here.
    """
    numbers = [
        name
        for name, value in vars(module).items()
        if "drop" in name and "layer" not in name and isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return [*numbers, "p"] if isinstance(module, nn.Dropout) else numbers
