"""Grows a model's embeddings to those that its adapters were trained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmtuner.errors import UserError
from llmtuner.runs.adapter import adapter_tensors


def grow_embeddings(model: Any, adapters: Sequence[str], *, tokens: int, scores_tokens: bool) -> None:
    """Give a model the embedding rows that its adapters bring; the adapters fill them.

    Call it before a head is attached or an adapter is loaded.

    Args:
        tokens: how many the adapters' tokenizer has; 0 if no tokens were added for the training.
        scores_tokens: whether the language-model head is used.

    Raises:
        UserError: tokens were added, but an adapter does not bring their rows, so that these would be random.
    """
    before = model.get_input_embeddings().num_embeddings
    stored = [{name: each.shape for name, each in adapter_tensors(adapter).items()} for adapter in adapters]
    embedding = _name_of(model, model.get_input_embeddings())
    rows = max((shapes[embedding][0] for shapes in stored if embedding in shapes), default=before)
    if tokens > max(rows, before):
        raise UserError(
            f"{adapters[-1]}: tokens were added for its training, and the weights have no rows for them in "
            f"{embedding}: --additional_target must name the embeddings; train it again"
        )
    if rows <= before:
        return
    model.resize_token_embeddings(rows, mean_resizing=False)
    head = model.get_output_embeddings() if scores_tokens and model.can_generate() else None
    if head is None or head.weight is model.get_input_embeddings().weight:
        return
    if not any(_name_of(model, head) in shapes for shapes in stored):
        raise UserError(
            f"{adapters[-1]}: tokens were added for its training, and the weights have no rows for them in "
            f"{_name_of(model, head)}, so that their probabilities would be random; train it again without "
            "--additional_target, or name that module in it"
        )


def _name_of(model: Any, module: Any) -> str:
    return next(name for name, candidate in model.named_modules() if candidate is module) + ".weight"
