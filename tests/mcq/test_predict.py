"""Metrics of a prediction."""

from __future__ import annotations

from llmtuner.data.predictions import Prediction
from llmtuner.mcq.predict import figures_of


def test_figures_are_of_the_questions_whose_answer_is_known():
    """If a question without an answer counts as wrong, every metric of a partly labelled file is too low."""
    known = [Prediction("1", (2.0, 1.0, 0.0), 0), Prediction("2", (0.0, 2.0, 1.0), 2)]
    actual = figures_of([known[0], Prediction("3", (0.0, 9.0)), known[1]])
    assert actual == figures_of(known)
    assert (actual["accuracy"], actual["map@3"], actual["mrr"]) == (0.5, 0.75, 0.75)
    assert figures_of([Prediction("3", (0.0, 9.0))]) == {}
