"""The dropout of a model, all of it at once."""

from __future__ import annotations

from typing import Any

from torch import nn

from llmtuner.mcq.model import HEAD


def set_dropout(model: Any, probability: float) -> None:
    """Give every dropout of a backbone one probability, in place; adapters and the head keep theirs.

    Dropout stands in modules (BERT) or in numbers that a layer hands to its attention (Llama); both are set. Leaving
    whole layers out (layerdrop) is another thing.
    """
    for name, module in model.named_modules():
        if f".{HEAD}" in f".{name}" or "lora_" in name:
            continue
        if isinstance(module, nn.Dropout):
            module.p = probability
        for attribute, value in vars(module).items():
            if "drop" in attribute and "layer" not in attribute and isinstance(value, float):
                setattr(module, attribute, probability)
