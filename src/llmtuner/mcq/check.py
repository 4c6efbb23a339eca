"""Whether a model gives the same in packed rows as in one row an option, seen on the first questions."""

from __future__ import annotations

from typing import Any

import torch

from llmtuner.data.tokens.option import OptionTokens
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.model import hidden_states
from llmtuner.mcq.pooling import pool
from llmtuner.mcq.predict import device_of, to_device
from llmtuner.mcq.questions import Example

CHECKED = 2  # questions
TOLERANCE = 1e-4  # of states in fp32, relative to their scale
HALF_PRECISION_FACTOR = 3.0  # times the difference that batching alone makes


def packing_defect(model: Any, questions: list[OptionTokens], pooling: str, pad_token_id: int) -> str:
    """Why a model cannot take packed rows, or "" where it can.

    Compares the states from which options are scored. In half precision the yardstick is the difference between
    per_option in one batch and one by one: rounding that is there without any packing.

    Args:
        model: with a head attached; its mode is left as it was.
        questions: the first few; at most two are used.
    """
    examples = [Example(tokens, 0, row) for row, tokens in enumerate(questions[:CHECKED])]
    single = _features(model, [examples], "per_option", pooling, pad_token_id)
    try:
        packed = _features(model, [examples], "shared_prefix", pooling, pad_token_id)
    except (RuntimeError, ValueError, TypeError, NotImplementedError, KeyError, AttributeError, IndexError) as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        return f"its attention does not take the mask of packed rows ({first_line})"
    scale = float(single.square().mean().sqrt()) or 1.0
    difference = float((packed - single).abs().max()) / scale
    allowed = TOLERANCE
    if next(model.parameters()).dtype != torch.float32:
        alone = [
            [Example(_only(example.tokens, option), 0, 0)]
            for example in examples
            if isinstance(example.tokens, OptionTokens)
            for option in range(len(example.tokens.sequences))
        ]
        one_by_one = _features(model, alone, "per_option", pooling, pad_token_id)
        rounding = float((one_by_one - single).abs().max()) / scale
        # Kernels that do not depend on the batch differ by nothing here; packed rows still round elsewhere.
        allowed = max(HALF_PRECISION_FACTOR * rounding, 4 * torch.finfo(next(model.parameters()).dtype).eps)
    if difference <= allowed:
        return ""
    return (
        f"its states differ by {difference:.1e} of their scale from those of one row an option (allowed {allowed:.1e})"
    )


@torch.inference_mode()
def _features(model: Any, batches: list[list[Example]], layout: str, pooling: str, pad_token_id: int) -> torch.Tensor:
    """The pooled states of all options in order: [options, D]."""
    collator = Collator(layout, pooling, pad_token_id)
    was_training = model.training
    model.eval()
    found = []
    try:
        for examples in batches:
            batch = to_device(collator(examples), device_of(model))
            reads = ("input_ids", "position_ids", "attention_mask", "segments", "shared")
            hidden_BTD = hidden_states(model, **{name: batch[name] for name in reads if name in batch})
            features_QND = pool(hidden_BTD, batch["pool_rows"], batch["pool_tokens"])
            found.append(features_QND[batch["mask"]])
    finally:
        model.train(was_training)
    return torch.cat(found)


def _only(tokens: OptionTokens, option: int) -> OptionTokens:
    return OptionTokens(
        [tokens.sequences[option]], tokens.context, tokens.question, [tokens.options[option]], tokens.cut, tokens.over
    )
