"""The best k of many scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.retrieval.ranking import best_rows


def sorted_rows(scores, k, above=-np.inf):
    rows = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    return [row for row in rows if scores[row] > above][:k]


@given(st.lists(st.integers(-3, 3), max_size=700), st.integers(1, 20))
def test_it_is_the_head_of_the_sorted_rows(scores, k):
    """Ties went by the order in which a partial sort left them."""
    array = np.array(scores, dtype=np.float32)
    assert best_rows(array, k).tolist() == sorted_rows(scores, k)
    assert best_rows(array, k, above=0.0).tolist() == sorted_rows(scores, k, above=0)


@pytest.mark.parametrize("rows", [640, 6_411])
def test_many_equal_scores_go_by_row(rows):
    scores = np.zeros(rows, np.float32)
    scores[[rows - 1, 70]] = 1
    assert best_rows(scores, 4).tolist() == [70, rows - 1, 0, 1]


@given(st.lists(st.integers(-3, 3), max_size=700), st.integers(1, 20))
def test_ties_go_by_the_given_order(scores, k):
    """Which of several equal passages is found depended on the order of the corpus' files."""
    rows = sorted(range(len(scores)), key=lambda row: (-scores[row], -row))[:k]
    assert best_rows(np.array(scores, dtype=np.float32), k, ties=lambda found: -found).tolist() == rows
