"""The rule for questions that are too long: refused or dropped in training, answered in prediction."""

from __future__ import annotations

import pytest

from llmtuner.data.tokens.fit import FitReport, Length, settle_too_long
from llmtuner.errors import DataError


def lengths(*overs: int, first_row: int = 0) -> list[Length]:
    return [Length(row, f"exam.csv:{row + 2}", str(row), 0, over) for row, over in enumerate(overs, first_row)]


def test_a_training_refuses_them_by_name():
    """A question with cut options teaches that the right answer is not among them."""
    with pytest.raises(DataError, match=r"1 questions are longer .*\n  exam\.csv:3: id 1: 107 tokens"):
        settle_too_long(lengths(0, 7, 0), 100, training=True, drop=False)


def test_a_training_drops_them_where_it_was_told_to():
    settled = settle_too_long(lengths(0, 7, 0, 9), 100, training=True, drop=True)
    assert settled.rows == [0, 2]
    assert len(settled.lines) == 1
    assert "2 of 4 questions" in settled.lines[0]
    assert "dropped (`drop_long`)" in settled.lines[0]


@pytest.mark.parametrize("drop", [False, True])
def test_a_prediction_answers_every_question(drop):
    """A question that is missing from a submission scores zero."""
    settled = settle_too_long(lengths(0, 7), 100, training=False, drop=drop)
    assert settled.rows == [0, 1]
    assert settled.lines == FitReport(lengths(0, 7), 100).lines(training=False) != []


@pytest.mark.parametrize("training", [False, True])
def test_no_line_is_reported_if_everything_fits(training):
    settled = settle_too_long(lengths(0, 0), 100, training=training, drop=False)
    assert (settled.rows, settled.lines) == ([0, 1], [])


def test_dropping_everything_is_a_mistake():
    with pytest.raises(DataError, match="leaves no question of 2; raise `cutoff_len` 100"):
        settle_too_long(lengths(7, 9), 100, training=True, drop=True)


def test_rows_that_are_no_questions_stay():
    """In a mixture, rows of other data sets have no recorded length: three rows, the last two are questions."""
    questions = lengths(7, 0, first_row=1)
    assert settle_too_long(questions, 100, training=True, drop=True, num_rows=3).rows == [0, 2]
