"""Looks for NaN and Inf in a model's weights, once a loss or a score has become one: then no learning rate helps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from llmtuner.errors import UserError
from llmtuner.mcq.unwrap import unwrap
from llmtuner.runs.adapter import PREFIX, listed


def refuse_bad_weights(model: Any, *, trained: bool = False) -> None:
    """Refuse a model that was loaded with weights that are not finite; do nothing if they are not to blame.

    Reads every weight, so call it only after a loss or a score failed.

    Args:
        trained: whether weights have been updated since they were loaded: then only frozen ones are looked at.

    Raises:
        UserError: with the names of the weights.
    """
    names = [
        name.removeprefix(PREFIX).replace(".base_layer", "")  # without peft's additions
        for name, parameter in model.named_parameters()
        if parameter.is_floating_point() and not parameter.is_meta and not (trained and parameter.requires_grad)
        if not torch.isfinite(parameter.detach()).all()
    ]
    if names:
        source = (
            "the adapter"
            if all("lora_" in name or "mcq_head" in name for name in names)
            else unwrap(model).name_or_path or "the model"
        )
        raise UserError(
            f"{source}: {len(names)} of its weights have NaN or Inf, as they were loaded: "
            f"{listed(names)}; copy or download the model again, or load it in the precision that it was saved in"
        )


@contextmanager
def blaming_bad_weights(model: Any) -> Iterator[None]:
    """Generate text in this context: torch's error about probabilities that are NaN names the weights instead.

    Raises:
        UserError: the weights are to blame.
    """
    try:
        yield
    except RuntimeError as error:
        if "inf" in str(error) and "nan" in str(error):
            refuse_bad_weights(model)
        raise
