"""Metrics and baselines of a prediction."""

from __future__ import annotations

import pytest

from llmtuner.data.predictions import Prediction
from llmtuner.data.question import Question
from llmtuner.mcq.predict import baselines_of, figures_of


def test_figures_are_of_the_questions_whose_answer_is_known():
    """If a question without an answer counts as wrong, every metric of a partly labelled file is too low."""
    known = [Prediction("1", (2.0, 1.0, 0.0), 0), Prediction("2", (0.0, 2.0, 1.0), 2)]
    actual = figures_of([known[0], Prediction("3", (0.0, 9.0)), known[1]])
    assert actual == figures_of(known)
    assert (actual["accuracy"], actual["map@3"], actual["mrr"]) == (0.5, 0.75, 0.75)
    assert figures_of([Prediction("3", (0.0, 9.0))]) == {}


def test_the_baseline_is_always_the_longest_option():
    """With the shortest option, or lengths in words, it would still be a number between chance and one."""
    asked = [
        Question("1", "?", ("a", "bb", "a b c d"), 2),
        Question("2", "?", ("internationalisation", "a b", "c d"), 0),
        Question("3", "?", ("aaa", "b", "cc"), 1),
        Question("4", "?", ("aaa", "b", "cc")),
    ]
    actual = baselines_of(asked)
    assert actual["floor_longest_accuracy"] == pytest.approx(2 / 3)
    assert actual["floor_longest_map@3"] == pytest.approx((1 + 1 + 1 / 3) / 3)
    assert actual["floor_random_accuracy"] == pytest.approx(1 / 3)
    assert actual["floor_random_map@3"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert baselines_of(asked[3:]) == {}
