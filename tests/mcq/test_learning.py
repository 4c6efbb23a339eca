"""A model learns its questions with every loss."""

from __future__ import annotations

import pytest
import torch
from models import ANSWERS, build, hard_questions

from llmtuner.mcq.choices import resolve
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.losses import LOSSES
from llmtuner.mcq.model import attach_head
from llmtuner.mcq.questions import Example
from llmtuner.metrics import map_at_k

STEPS = 60
ROWS = [0, 1, 3]  # without the question whose options are equal


def reached(model, batch) -> float:
    with torch.no_grad():
        output = model(**{name: value for name, value in batch.items() if name not in ("labels", "rows")})
    scores = [row[mask_QN].tolist() for row, mask_QN in zip(output.scores, output.mask, strict=True)]
    return map_at_k(scores, batch["labels"].tolist())


@pytest.mark.parametrize("name", LOSSES)
def test_a_model_learns_the_right_order_by_every_loss(name):
    """A loss with the wrong sign, or without a gradient at the start, changes from step to step like any other."""
    model = attach_head(build("llama", num_hidden_layers=1), resolve("causal"))
    asked = hard_questions()
    batch = Collator("per_option", "last", 0)([Example(asked[row], ANSWERS[row], row) for row in ROWS])
    assert reached(model, batch) < 0.7
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(STEPS):
        output = model(**{key: value for key, value in batch.items() if key not in ("labels", "rows")})
        optimizer.zero_grad()
        LOSSES[name](output.scores, batch["labels"], output.mask).mean().backward()
        optimizer.step()
    assert reached(model, batch) == 1.0
