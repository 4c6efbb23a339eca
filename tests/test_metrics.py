"""Metrics against enumeration and against their stated rules."""

from __future__ import annotations

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.metrics import (
    Ranks,
    accuracy,
    baselines,
    ece,
    map_at_k,
    mrr,
    nll,
    paired_interval,
    rank_of_answer,
)

small_scores = st.lists(st.integers(-2, 2), min_size=2, max_size=6)


def enumerated_map(scores: list[int], answer: int, k: int) -> float:
    """The mean over every order in which equal scores could have been ranked."""
    orders = [
        order for order in permutations(range(len(scores))) if all(scores[a] >= scores[b] for a, b in pairwise(order))
    ]
    places = [order.index(answer) + 1 for order in orders]
    return sum(1 / place if place <= k else 0 for place in places) / len(places)


@given(small_scores, st.data(), st.integers(1, 4))
def test_ties_count_as_the_mean_over_their_orders(scores, data, k):
    answer = data.draw(st.integers(0, len(scores) - 1))
    assert map_at_k([scores], [answer], k) == pytest.approx(enumerated_map(scores, answer, k), abs=1e-12)


@given(small_scores, st.data())
def test_the_position_of_the_answer_does_not_matter(scores, data):
    answer = data.draw(st.integers(0, len(scores) - 1))
    order = data.draw(st.permutations(range(len(scores))))
    moved = [scores[i] for i in order]
    assert map_at_k([moved], [order.index(answer)]) == map_at_k([scores], [answer])


def test_without_ties_it_is_kaggles_metric():
    ranked_1_2_3_4 = [[4.0, 3, 2, 1, 0]] * 4
    assert map_at_k(ranked_1_2_3_4, [0, 1, 2, 3]) == pytest.approx((1 + 1 / 2 + 1 / 3 + 0) / 4)
    assert accuracy(ranked_1_2_3_4, [0, 1, 2, 3]) == 0.25


def test_nothing_is_rescaled_for_two_options():
    assert map_at_k([[0.0, 1.0]], [0]) == 0.5


def test_chance_level_of_five_options():
    figures = baselines([[7] * 5, [1, 2, 3, 4, 5]], [2, 4])
    assert figures["floor_random_map@3"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 5)
    assert figures["floor_random_accuracy"] == pytest.approx(0.2)
    assert figures["floor_longest_accuracy"] == pytest.approx((0.2 + 1) / 2), "equal lengths are a tie, not a win"


def test_an_exact_tie_is_not_a_win():
    """Ranking libraries disagree here; by position, option A would always win."""
    assert accuracy([[0.5, 0.5]], [0]) == accuracy([[0.5, 0.5]], [1]) == 0.5


@pytest.mark.parametrize("answer", [-1, 3])
def test_an_answer_outside_the_options_is_refused(answer):
    with pytest.raises(ValueError, match="not an index"):
        rank_of_answer([1.0, 2.0, 3.0], answer)


def test_nan_is_refused_rather_than_ranked_last():
    with pytest.raises(ValueError, match="finite"):
        map_at_k([[float("nan"), 1.0]], [0])


def test_no_questions_have_no_score():
    with pytest.raises(ValueError, match="no questions"):
        accuracy([], [])


def test_mrr_counts_every_place_and_ties_at_their_expected_value():
    scores = [[3.0, 2.0, 1.0, 0.0], [0.0, 0.0], [1.0, 5.0, 5.0]]
    assert mrr(scores, [3, 1, 2]) == pytest.approx((1 / 4 + (1 + 1 / 2) / 2 + (1 + 1 / 2) / 2) / 3)


def test_nll_is_torchs_cross_entropy_over_ragged_options():
    import torch

    scores, answers = [[3.0, -2.0, 1.5], [0.25, 0.5], [700.0, -700.0]], [2, 0, 1]
    expected = [
        torch.nn.functional.cross_entropy(torch.tensor([s], dtype=torch.float64), torch.tensor([a])).item()
        for s, a in zip(scores, answers, strict=True)
    ]
    assert nll(scores, answers) == pytest.approx(sum(expected) / 3)


def test_an_interval_of_equal_differences_is_a_point_and_else_that_of_a_mean():
    import numpy as np

    assert paired_interval([0.25] * 50) == (0.25, 0.25)
    values = np.random.default_rng(0).normal(0.1, 1, size=400)
    low, high = paired_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    wide = paired_interval(np.repeat(values[:40], 10), np.repeat(np.arange(40), 10))
    assert wide[1] - wide[0] > 2 * (high - low), "ten copies of a question are one"
    with pytest.raises(ValueError, match="no questions"):
        paired_interval([])


def test_ranks_of_many_questions_are_those_of_each_alone():
    """Questions with equally many options are ranked together; one in the wrong row would still have some rank."""
    scores = [[1.0, 2.0], [3.0, 1.0, 3.0], [0.5, 0.5], [1.0, 2.0, 3.0], [9.0, 8.0]]
    answers = [1, 2, 0, 0, 1]
    ranks = Ranks.of(scores, answers)
    alone = [rank_of_answer(each, answer) for each, answer in zip(scores, answers, strict=True)]
    assert ranks.above_Q.tolist() == [rank.above for rank in alone]
    assert ranks.tied_Q.tolist() == [rank.tied for rank in alone]
    with pytest.raises(ValueError, match="answer 2 is not an index into 2 options"):
        Ranks.of(scores, [1, 2, 2, 0, 1])


def test_an_option_that_cannot_be_scored_is_below_every_number():
    """A blank option has no likelihood; a right answer that is blank ranks last, tied with the other blank ones."""
    none = -math.inf
    scores = [[-5.0, none, -9.0], [none, -2.0, -1.0], [none, none, 0.5, -3e38]]
    assert map_at_k(scores, [0, 0, 0], k=4) == pytest.approx((1 + 1 / 3 + (1 / 3 + 1 / 4) / 2) / 3)
    assert [rank_of_answer(s, 0).above for s in scores] == [0, 2, 2]
    assert nll(scores, [0, 0, 0]) == pytest.approx(math.log(1 + math.exp(-4.0))), "infinite losses are left out"
    assert nll(scores[1:], [0, 0]) == math.inf
    assert math.isfinite(ece(scores, [0, 0, 0]))


@pytest.mark.parametrize("broken", [[math.nan, 1.0], [math.inf, 1.0], [-math.inf, -math.inf]])
def test_scores_without_an_order_are_refused(broken):
    with pytest.raises(ValueError, match="finite"):
        map_at_k([[0.0, 1.0], broken], [0, 0])
    with pytest.raises(ValueError, match="finite"):
        rank_of_answer(broken, 0)


def map3_interval(scores: list[list[float]], answers: list[int]) -> tuple[float, float]:
    return Ranks.of(scores, answers).interval(3)


def test_the_interval_of_map3_is_that_of_a_bootstrap_over_questions():
    """It is drawn as counts of equal values; the reference draws question by question."""
    draw = np.random.default_rng(3)
    scores, answers = draw.normal(size=(150, 5)).tolist(), draw.integers(5, size=150).tolist()
    values = [map_at_k([s], [a]) for s, a in zip(scores, answers, strict=True)]
    assert map3_interval(scores, answers) == pytest.approx(paired_interval(values), abs=0.004)
    assert map3_interval(scores, answers) == map3_interval(scores[::-1], answers[::-1]), "the order does not matter"


def test_the_interval_shrinks_with_the_root_of_the_number_of_questions():
    scores, answers = [[3.0, 2.0, 1.0, 0.0]] * 40, [0, 1, 2, 3] * 10
    low, high = map3_interval(scores, answers)
    many_low, many_high = map3_interval(scores * 25, answers * 25)
    assert (many_high - many_low) == pytest.approx((high - low) / 5, rel=0.05)
    assert low < map_at_k(scores, answers) < high


def test_all_right_has_an_interval_without_width_and_no_questions_have_none():
    assert map3_interval([[1.0, 0.0]] * 9, [0] * 9) == (1.0, 1.0)
    with pytest.raises(ValueError, match="no questions"):
        map3_interval([], [])
