"""The place of the answer: a preference is found, chance is not flagged, and a second implementation agrees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from llmtuner.data.audit.positions import positions
from llmtuner.data.question import Question


def answered(places: list[int], options: int = 4) -> list[Question]:
    return [Question("1", "Why?", tuple("abcdefgh"[:options]), place) for place in places]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=50))
def test_chi_square_and_p_value_are_scipys(places):
    [result] = positions(answered(places))
    expected = chisquare([places.count(place) for place in range(4)])
    assert result.chi_square == pytest.approx(expected.statistic, abs=1e-3)
    assert result.p_value == pytest.approx(expected.pvalue)


def test_a_favoured_place_is_unbalanced_and_equal_ones_are_not():
    [even] = positions(answered([0, 1, 2, 3] * 50))
    [odd] = positions(answered([0, 1, 2, 2] * 50))
    assert (even.unbalanced, even.p_value) == (False, 1.0)
    assert odd.unbalanced


def test_what_chance_does_once_in_a_hundred_files_is_no_favour():
    """ScienceQA's validation file: 709 and 812."""
    [result] = positions(answered([0] * 709 + [1] * 812, options=2))
    assert 0.001 < result.p_value < 0.01
    assert not result.unbalanced


def test_each_number_of_options_is_looked_at_alone():
    """Pooled with the others, questions with two options would make A and B look favoured."""
    result = positions(
        [*answered([0, 1, 2, 3] * 50), *answered([0, 1] * 200, options=2), Question("1", "?", ("a", "b"))]
    )
    assert [result.right for result in result] == [(200, 200), (50, 50, 50, 50)]
    assert not any(result.unbalanced for result in result)
