"""Which epoch's order the batches have, including after a resume."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llmtuner.mcq.batch_order import BatchOrder
from llmtuner.mcq.batches import QuestionBatches

SHAPES = [(1, 10 + row) for row in range(21)]


@pytest.mark.parametrize(
    ("reported", "epoch"), [(None, 0), (0.0, 0), (0.99999999, 1), (1.0, 1), (1.5, 1), (1.99999999, 2), (2.00000001, 2)]
)
def test_an_epoch_begins_with_its_own_order(reported, epoch):
    """The Trainer's epoch is a quotient: slightly below 1, it would give the first epoch's order twice."""
    batches = QuestionBatches(SHAPES, batch_size=4)
    BatchOrder(batches).on_epoch_begin(None, SimpleNamespace(epoch=reported), None)
    fresh = QuestionBatches(SHAPES, batch_size=4, epoch=epoch)
    assert list(batches) == list(fresh)
    assert list(batches) != list(QuestionBatches(SHAPES, batch_size=4, epoch=epoch + 1))
