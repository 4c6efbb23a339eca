"""Paired statistics against enumeration, closed forms and simulation."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from llmtuner.report.paired import (
    holm,
    mean_interval,
    needed_questions,
    paired_difference,
    paired_differences,
    sign_flip_p,
)

MAP3 = (1.0, 1 / 2, 1 / 3, 0.0)
values_SN = arrays.arrays(float, st.tuples(st.integers(1, 3), st.just(9)), elements=st.sampled_from(MAP3))
# With few questions a resampled mean has few values, and two draws may give neighbouring ones as the same bound.
many_SN = arrays.arrays(float, st.tuples(st.integers(1, 3), st.just(60)), elements=st.sampled_from(MAP3))


def exact_p(difference_N: np.ndarray) -> float:
    """The share of all sign flips whose sum is at least as far from zero."""
    given_sum = abs(difference_N.sum())
    sums = [abs(np.dot(signs, difference_N)) for signs in product((1, -1), repeat=len(difference_N))]
    return sum(each >= given_sum - 1e-9 for each in sums) / len(sums)


@pytest.mark.parametrize(
    "difference",
    [
        [1, 1, 1, 1, 1, 1, 1, 1],
        [1, 1, 1 / 2, 1 / 3, -1 / 3, 2 / 3, 1 / 6, -1 / 2],
        [1 / 3, -1 / 3, 0, 0, 1 / 2, 1 / 6, 0, 1],
        [1, -1, 1 / 2, -1 / 2, 0, 0, 0, 0],
    ],
)
def test_p_is_that_of_all_sign_flips(difference):
    """Equal sums differ in their last bits, and so did not count as equal."""
    difference_N, flips = np.array(difference), 200_000
    exact = exact_p(difference_N)
    deviation = (exact * (1 - exact) / flips) ** 0.5
    assert sign_flip_p(difference_N, flips=flips) == pytest.approx(exact, abs=4 * deviation + 2 / flips)


def test_p_is_never_zero():
    assert sign_flip_p(np.ones(100), flips=999) == 1 / 1000


def test_p_without_any_difference_is_one():
    assert sign_flip_p(np.zeros(5)) == 1.0


def test_p_is_uniform_if_the_arms_are_equal():
    draw = np.random.default_rng(7)
    p_values = [sign_flip_p(draw.normal(size=30), flips=999, seed=trial) for trial in range(400)]
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.035)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.4], [0.8, 0.8]),
        ([0.02], [0.02]),
        ([0.9, 0.9, 0.9], [1.0, 1.0, 1.0]),
        ([], []),
    ],
)
def test_holms_correction_by_hand(p_values, expected):
    assert holm(p_values) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holms_correction_keeps_the_order_and_lies_between_p_and_bonferroni(p_values):
    corrected = holm(p_values)
    assert all(p <= q <= min(1, len(p_values) * p) + 1e-12 for p, q in zip(p_values, corrected, strict=True))
    by_p = [q for _, q in sorted(zip(p_values, corrected, strict=True))]
    assert by_p == sorted(by_p)


def binomial_quantile(trials: int, share: float, level: float) -> int:
    """The smallest count whose cumulative probability reaches the level."""
    total = 0.0
    for count in range(trials + 1):
        total += comb(trials, count) * share**count * (1 - share) ** (trials - count)
        if total >= level:
            return count
    return trials


def test_the_interval_over_questions_is_the_binomial_one():
    """A question is won or not, so the number of wins in a resample follows a binomial distribution."""
    first_N = np.array([1.0] * 30 + [0.0] * 70)
    each = paired_difference(first_N, np.zeros(100))
    expected = [binomial_quantile(100, 0.3, level) / 100 for level in (0.025, 0.975)]
    assert (each.low, each.high) == pytest.approx(expected, abs=0.0101)
    assert each.difference == pytest.approx(0.3)
    assert (each.wins, each.losses, each.ties) == (30, 0, 70)


def test_the_interval_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    draw = np.random.default_rng(3)
    first_N, second_N = draw.choice(MAP3, size=200), draw.choice(MAP3, size=200)
    given_interval = stats.bootstrap(
        (first_N - second_N,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    each = paired_difference(first_N, second_N)
    assert (each.low, each.high) == pytest.approx(tuple(given_interval), abs=0.004)


def enumerated(first_SN: np.ndarray, second_SN: np.ndarray) -> np.ndarray:
    """The difference in every draw of the first arm's seeds, the second's, and the questions."""
    questions = first_SN.shape[1]
    drawn = np.array(list(product(range(questions), repeat=questions)))
    means = []
    for first_seeds in product(range(len(first_SN)), repeat=len(first_SN)):
        for second_seeds in product(range(len(second_SN)), repeat=len(second_SN)):
            difference_N = first_SN[list(first_seeds)].mean(0) - second_SN[list(second_seeds)].mean(0)
            means.append(difference_N[drawn].mean(1))
    return np.concatenate(means)


@pytest.mark.parametrize("trial", range(4))
def test_the_interval_over_seeds_and_questions_is_that_of_all_draws(trial):
    """Seeds of both arms drawn together, or questions drawn apart for each arm, make another interval."""
    draw = np.random.default_rng(trial)
    first_SN, second_SN = draw.choice(MAP3, size=(3, 4)), draw.choice(MAP3, size=(2, 4))
    all_draws = enumerated(first_SN, second_SN)
    each = paired_difference(first_SN, second_SN)
    for end, level in ((each.low, 0.025), (each.high, 0.975)):
        assert (all_draws < end - 1e-6).mean() <= level + 0.008
        assert (all_draws < end + 1e-6).mean() >= level - 0.008
    assert each.difference == pytest.approx(all_draws.mean())


def test_seeds_that_differ_widen_the_interval():
    """Ten thousand questions do not say what another seed would score."""
    seeds_SN = np.repeat([[0.0], [0.5], [1.0]], 50, axis=1)
    each = paired_difference(seeds_SN, np.zeros(50))
    assert (each.low, each.high) == (0.0, 1.0)
    assert mean_interval(seeds_SN) == (0.0, 1.0)
    assert mean_interval(seeds_SN.mean(0)) == (0.5, 0.5)


def test_the_arms_draw_their_seeds_independently():
    """With the same draws for both, equal seeds would cancel, and the interval would be [0, 0]."""
    seeds_SN = np.repeat([[0.0], [1.0]], 20, axis=1)
    each = paired_difference(seeds_SN, seeds_SN)
    assert (each.low, each.difference, each.high) == (-1.0, 0.0, 1.0)


def false_alarms(seeds: int, seed_spread: float, trials: int = 300) -> tuple[float, float]:
    """Of two equally good ways, how often the interval leaves out 0, and how often p is at most 0.05."""
    draw = np.random.default_rng(0)

    def arm(common_N: np.ndarray) -> np.ndarray:
        noise_SN = draw.normal(0, 0.25, size=(seeds, 300))  # 0.014 for a mean
        return common_N + noise_SN + draw.normal(0, seed_spread, size=(seeds, 1))

    by_interval = by_p = 0
    for trial in range(trials):
        common_N = draw.normal(0, 0.3, size=300)
        each = paired_difference(arm(common_N), arm(common_N), resamples=300, seed=trial)
        by_interval += not each.low <= 0 <= each.high
        by_p += each.p <= 0.05
    return by_interval / trials, by_p / trials


def test_the_interval_holds_for_new_seeds_and_p_does_not():
    """As the docstring says: p takes the seeds as they are, so luck with seeds looks like a difference."""
    by_interval, by_p = false_alarms(seeds=3, seed_spread=0.02)
    assert by_interval < 0.09
    assert by_p > 0.15
    assert false_alarms(seeds=1, seed_spread=0.0)[0] < 0.09
    assert false_alarms(seeds=2, seed_spread=0.05)[0] > 0.15, "two seeds are too few where seeds matter most"


@given(many_SN, many_SN)
@settings(max_examples=40, deadline=None)
def test_swapping_the_arms_flips_the_sign(first_SN, second_SN):
    forward, back = paired_difference(first_SN, second_SN), paired_difference(second_SN, first_SN)
    assert back.difference == -forward.difference
    assert (back.wins, back.losses, back.ties) == (forward.losses, forward.wins, forward.ties)
    assert (back.p, back.needed) == (forward.p, forward.needed)
    tolerance = 1e-9 if len(first_SN) == len(second_SN) == 1 else 0.06  # seeds are drawn from other random numbers
    assert (-back.high, -back.low) == pytest.approx((forward.low, forward.high), abs=tolerance)


def test_a_pair_is_the_same_among_others():
    draw = np.random.default_rng(0)
    arms = {name: draw.choice(MAP3, size=(seeds, 40)) for name, seeds in (("a", 1), ("b", 3), ("c", 2))}
    pairs = [("a", "b"), ("a", "c"), ("c", "b")]
    assert paired_differences(arms, pairs) == [paired_difference(arms[a], arms[b]) for a, b in pairs]


def test_parts_of_the_resamples_make_no_difference(monkeypatch):
    """Large sets of questions are drawn in parts."""
    draw = np.random.default_rng(0)
    first_N, second_N = draw.normal(size=50), draw.normal(size=50)
    whole = paired_difference(first_N, second_N)
    monkeypatch.setattr("llmtuner.report.paired._DRAWN", 50 * 7)
    parts = paired_difference(first_N, second_N)
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), abs=0.03)
    assert parts.low < parts.difference < parts.high


def test_as_many_questions_as_needed_find_the_difference_four_times_in_five():
    spread_N = np.array([1.0, -1.0] * 5_000)
    needed = needed_questions(spread_N, effect=0.2)
    assert needed == 197, "(1.960 + 0.842)^2 / 0.2^2, rounded up"
    draw = np.random.default_rng(0)
    means = draw.normal(0.2, 1, size=(4_000, needed)).mean(1)
    assert (np.abs(means) > 1.959964 / needed**0.5).mean() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("difference", [[0.5], [0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
def test_without_spread_no_number_of_questions_is_given(difference):
    """It was 0: a hundred thousand questions too few."""
    assert needed_questions(np.array(difference)) is None


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([0.0, 1.0], [0.0], "different numbers of questions"),
        ([], [], r"expected \[seeds, questions\]"),
        (np.zeros((0, 3)), np.zeros((1, 3)), r"expected \[seeds, questions\]"),
        (np.zeros((1, 2, 2)), np.zeros((1, 2)), r"expected \[seeds, questions\]"),
        ([0.0, float("nan")], [0.0, 1.0], "not finite"),
    ],
)
def test_values_that_cannot_be_paired_are_refused(first, second, message):
    with pytest.raises(ValueError, match=message):
        paired_difference(first, second)
