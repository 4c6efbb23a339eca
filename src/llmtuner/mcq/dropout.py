"""The dropout of a model, all of it at once."""

from __future__ import annotations

from typing import Any

from torch import nn

from llmtuner.mcq.model import HEAD


def has_dropout(model: Any) -> bool:
    """Whether anything in a model is dropped in training: in its backbone, an adapter, or the head."""
    return any(getattr(module, name) > 0 for module in model.modules() for name in _attributes(module))


def set_dropout(model: Any, probability: float) -> int:
    """Give every dropout of a backbone one probability, in place; adapters and the head keep theirs.

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
    """Where a module keeps its dropout: it is one (BERT), or hands a number to its attention (Llama).

    Layerdrop, which leaves out whole layers, is no dropout here.
    """
    numbers = [
        name
        for name, value in vars(module).items()
        if "drop" in name and "layer" not in name and isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return [*numbers, "p"] if isinstance(module, nn.Dropout) else numbers
