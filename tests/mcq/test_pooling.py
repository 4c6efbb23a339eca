"""Which tokens count for an option, and the mean of their states."""

from __future__ import annotations

import pytest
import torch
from models import hard_questions

from llmtuner.mcq.collate import Collator
from llmtuner.mcq.pooling import pool
from llmtuner.mcq.questions import Example
from llmtuner.spec.poolings import POOLINGS

QUESTIONS = hard_questions()
# The tokens of a sequence, according to the docstrings of mcq/pooling.py; spans are (begin, end).
COUNTED = {
    "last": lambda sequence, span: sequence[-1:],
    "first": lambda sequence, span: sequence[:1],
    "mean": lambda sequence, span: sequence,
    "option": lambda sequence, span: sequence[slice(*span)],
}


@pytest.mark.parametrize("layout", ["shared_prefix", "per_option"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_an_option_is_pooled_from_the_tokens_that_its_pooling_names(pooling, layout):
    """The place before the last, or another option's token in a packed row, also has a state to learn from."""
    batch = Collator(layout, pooling, 0)([Example(tokens, 0, row) for row, tokens in enumerate(QUESTIONS)])
    # Each state is the token's id, so that a mean of states shows which tokens it covers.
    actual = pool(batch["input_ids"][..., None].float(), batch["pool_rows"], batch["pool_tokens"])[..., 0]
    assert actual.shape == batch["mask"].shape
    assert not actual[~batch["mask"]].any(), "zeros where a question has fewer options"
    for row, tokens in enumerate(QUESTIONS):
        for option, (sequence, span) in enumerate(zip(tokens.sequences, tokens.options, strict=True)):
            counted = COUNTED[pooling](sequence, span)
            places = batch["pool_tokens"][row, option]
            at = batch["pool_rows"][row, option]
            assert batch["input_ids"][at, places[places >= 0]].tolist() == counted
            assert float(actual[row, option]) == pytest.approx(sum(counted) / len(counted), rel=1e-6)


def test_a_mean_is_taken_in_fp32():
    """Sums of many bf16 states lose the difference between two options."""
    states = torch.full((1, 300, 1), 1.0, dtype=torch.bfloat16)
    states[0, 0] = 300.0
    actual = pool(states, torch.zeros(1, 1, dtype=torch.long), torch.arange(300)[None, None])
    assert actual.dtype == torch.float32
    assert float(actual) == pytest.approx((300 + 299) / 300)
