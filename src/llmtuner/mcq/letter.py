"""Scores of the options as the language model's logits of their letters, after a joint prompt.

Shape legend: B rows of a batch, T tokens, D hidden width, V vocabulary, L letters of the batch, N options.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class LetterRow:
    """Token ids up to the place of the letter, and the token of each option's letter there."""

    input_ids: list[int]
    letter_ids: list[int]


def score_letters(
    model: nn.Module, rows: Sequence[LetterRow], *, batch_size: int, pad_token_id: int
) -> list[tuple[float, ...]]:
    """Raw fp32 logits of the letters, in the order of `rows`.

    Rows are padded on the left and carry their own position ids, so that neither batch size nor neighbours change a
    score; rows of similar length share a batch.

    Args:
        model: a causal language model (or a PEFT model around one), in eval mode.
        batch_size: rows a forward pass.

    Raises:
        FloatingPointError: a score is not finite.
    """
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].input_ids))
    scores: dict[int, tuple[float, ...]] = {}
    for batch in _batches(order, batch_size):
        found = _scores(model, [rows[i] for i in batch], pad_token_id)
        for index, score_N in zip(batch, found, strict=True):
            if not torch.isfinite(score_N).all():
                raise FloatingPointError(f"row {index}: the letters' logits are not finite: {score_N.tolist()}")
            scores[index] = tuple(score_N.tolist())
    return [scores[i] for i in range(len(rows))]


def _batches(order: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


@torch.no_grad()
def _scores(model: nn.Module, rows: Sequence[LetterRow], pad_token_id: int) -> list[torch.Tensor]:
    """Each row's fp32 logits of its letters: [N], ragged."""
    device = next(model.parameters()).device
    longest = max(len(row.input_ids) for row in rows)
    padding = [longest - len(row.input_ids) for row in rows]
    ids = [[pad_token_id] * p + row.input_ids for p, row in zip(padding, rows, strict=True)]
    mask = [[0] * p + [1] * len(row.input_ids) for p, row in zip(padding, rows, strict=True)]
    most = max(len(row.letter_ids) for row in rows)
    letters = [row.letter_ids + row.letter_ids[:1] * (most - len(row.letter_ids)) for row in rows]
    mask_BT = torch.tensor(mask, device=device)
    inputs = {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": mask_BT,
        "position_ids": (mask_BT.cumsum(-1) - 1).clamp(min=0),
    }
    scores_BN = letter_logits(model, type(model).__call__, inputs, torch.tensor(letters, device=device))
    return [score_N[: len(row.letter_ids)] for row, score_N in zip(rows, scores_BN, strict=True)]


def letter_logits(
    model: nn.Module, forward: Callable[..., Any], inputs: dict[str, torch.Tensor], letter_ids_BN: torch.Tensor
) -> torch.Tensor:
    """The fp32 logits of letters at the last place of each row: [B, N]. Gradients flow.

    Args:
        model: a causal language model, or a PEFT model around one.
        forward: called as `forward(model, **inputs)` for an output with `logits`.
        inputs: `input_ids`, `attention_mask` and `position_ids`, padded on the left.
        letter_ids_BN: the token of each option's letter.
    """
    letters_L = letter_ids_BN.unique()  # sorted
    # Only the last place's logits are needed: [B, T, V] in fp32 is the largest tensor of such a pass.
    extra = {"logits_to_keep": 1} if _keeps_last_logits(model) else {}
    with _fp32_head(model, letters_L) as narrow:
        logits_BTV = forward(model, use_cache=False, **inputs, **extra).logits
    places_BN = torch.searchsorted(letters_L, letter_ids_BN) if narrow else letter_ids_BN
    return logits_BTV[:, -1].float().gather(1, places_BN)


@contextmanager
def _fp32_head(model: nn.Module, letters_L: torch.Tensor) -> Iterator[bool]:
    """Let the language-model head compute the letters' logits only, in fp32; yield whether it does.

    Rounded to bf16, letters tie (measured: 2 of 60 questions), and an upcast afterwards does not undo it. What a model
    does to its logits after the head (soft-capping, scaling) still happens. A head whose weight is not a plain matrix
    here (quantised, sharded) computes as it does.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = base.get_output_embeddings()
    weight: Any = getattr(head, "weight", None)
    plain = type(head) is nn.Linear and weight.is_floating_point() and weight.dim() == 2
    if not plain or weight.shape[0] <= int(letters_L[-1]):
        yield False
        return
    rows_L = letters_L.to(weight.device)
    weight_LD = weight[rows_L].float()
    bias_L = None if head.bias is None else head.bias[rows_L].float()

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            return nn.functional.linear(hidden.float(), weight_LD, bias_L)

    head.forward = forward
    try:
        yield True
    finally:
        del head.forward  # the class's own again


def _keeps_last_logits(model: nn.Module) -> bool:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(type(base).forward).parameters
