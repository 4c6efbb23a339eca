"""The language-model head, for scores that are made of its logits: in fp32, and for chosen states only.

Shape legend: R states, D hidden width, V tokens of the vocabulary, or those of them that are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from llmtuner.mcq.unwrap import unwrap


def plain_head(model: Any) -> nn.Linear | None:
    """The head, if its weight is a plain matrix; None for one that is quantised, sharded, or no linear map."""
    head = unwrap(model).get_output_embeddings()
    weight: Any = getattr(head, "weight", None)
    plain = type(head) is nn.Linear and weight.is_floating_point() and weight.dim() == 2 and not weight.is_meta
    return head if plain else None


@contextmanager
def forward_replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Let a module compute something else in this context; its hooks still run."""
    before = vars(module).get("forward")  # some libraries put their own there
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.forward  # back to the class's own
        else:
            module.forward = before


def linear_in_fp32(weight_VD: torch.Tensor, bias_V: torch.Tensor | None) -> Callable[[torch.Tensor], torch.Tensor]:
    """A head's forward that multiplies in fp32, whatever precision the model uses.

    Rounded to bf16, scores tie (measured: 2 of 60 questions), and an upcast afterwards does not undo it.

    Args:
        weight_VD, bias_V: in fp32.
    """

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            return nn.functional.linear(hidden.float().to(weight_VD.device), weight_VD, bias_V)

    return forward
