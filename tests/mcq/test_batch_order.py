"""Which epoch's order the batches have, including after a resume."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from llmtuner.mcq.batch_order import SHUFFLED_BY, STORED_AS, BatchOrder
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


def warnings_of(order: BatchOrder, stored: dict | None, caplog) -> str:
    state = SimpleNamespace(stateful_callbacks={STORED_AS: stored}, epoch=0.5)
    caplog.clear()
    order.on_train_begin(SimpleNamespace(should_log=True, ignore_data_skip=False), state, None)
    return caplog.text


@pytest.fixture
def log(caplog):
    logging.getLogger("llmtuner").addHandler(caplog.handler)  # the command line's logger does not propagate
    yield caplog
    logging.getLogger("llmtuner").removeHandler(caplog.handler)


def test_an_epoch_that_resumes_with_another_layout_says_that_its_order_differs(log):
    """Length classes come from the layout's rows: with a budget, questions were repeated and omitted in silence."""
    packed, single = (
        QuestionBatches([(rows, 10 + (row * step) % 17) for row in range(21)], batch_size=1, tokens_per_batch=60)
        for rows, step in ((1, 5), (4, 3))
    )
    stored = packed.order_depends_on()
    assert "resumes with a different batch order" in warnings_of(BatchOrder(single), stored, log)
    assert warnings_of(BatchOrder(packed), stored, log) == ""
    of_earlier_version = {name: value for name, value in stored.items() if name != "length classes"}
    assert warnings_of(BatchOrder(packed), of_earlier_version, log) == ""


def test_options_shuffled_by_an_earlier_version_are_said(log):
    batches = QuestionBatches(SHAPES, batch_size=4)
    stored = batches.order_depends_on()
    assert "drew the order of the options by the name" in warnings_of(BatchOrder(batches, shuffles=True), stored, log)
    assert warnings_of(BatchOrder(batches), stored, log) == ""
    assert warnings_of(BatchOrder(batches, shuffles=True), {**stored, SHUFFLED_BY: "content"}, log) == ""
