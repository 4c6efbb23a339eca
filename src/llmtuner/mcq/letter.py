"""Scores of the options as the language model's logits of their letters, after a joint prompt.

Shape legend: B rows of a batch, T tokens, V vocabulary, N options.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
        logits_BV = _last_logits(model, [rows[i].input_ids for i in batch], pad_token_id)
        for index, logits_V in zip(batch, logits_BV, strict=True):
            score_N = logits_V[torch.tensor(rows[index].letter_ids, device=logits_V.device)]
            if not torch.isfinite(score_N).all():
                raise FloatingPointError(f"row {index}: the letters' logits are not finite: {score_N.tolist()}")
            scores[index] = tuple(score_N.tolist())
    return [scores[i] for i in range(len(rows))]


def _batches(order: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


@torch.no_grad()
def _last_logits(model: nn.Module, sequences: list[list[int]], pad_token_id: int) -> torch.Tensor:
    device = next(model.parameters()).device
    longest = max(map(len, sequences))
    padding = [longest - len(sequence) for sequence in sequences]
    ids_BT = torch.tensor([[pad_token_id] * p + s for p, s in zip(padding, sequences, strict=True)], device=device)
    mask_BT = torch.tensor([[0] * p + [1] * len(s) for p, s in zip(padding, sequences, strict=True)], device=device)
    positions_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
    # Only the last position's logits are needed: [B, T, V] in fp32 is the largest tensor of such a pass.
    extra = {"logits_to_keep": 1} if _keeps_last_logits(model) else {}
    output = model(input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions_BT, use_cache=False, **extra)
    return output.logits[:, -1].float()


def _keeps_last_logits(model: nn.Module) -> bool:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(base.forward).parameters
