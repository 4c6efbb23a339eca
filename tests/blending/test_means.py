"""Means of probabilities, logits and ranks: by hand, in any order, with blanks and ties."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from llmtuner.blending.means import MEANS, blend, padded_scores

A = [[math.log(p) for p in row] for row in ([0.6, 0.3, 0.1], [0.2, 0.8])]
B = [[math.log(p) for p in row] for row in ([0.2, 0.6, 0.2], [0.5, 0.5])]


def blended(parts, mean, weights=None):
    scores_PQN, exists_QN = padded_scores(parts)
    weights_P = np.ones(len(parts)) if weights is None else np.array(weights, dtype=float)
    logs_QN = blend(scores_PQN, exists_QN, weights_P, mean)
    assert (logs_QN[~exists_QN] == -np.inf).all(), "padding is no option"
    return [np.exp(row[: mask.sum()]) for row, mask in zip(logs_QN, exists_QN, strict=True)]


def test_probabilities_by_hand():
    first, second = blended([A, B], "probability")
    assert first == pytest.approx([0.4, 0.45, 0.15])
    assert second == pytest.approx([0.35, 0.65])


def test_logits_by_hand():
    first, second = blended([A, B], "logit", [3, 1])
    powers = np.array([0.6**0.75 * 0.2**0.25, 0.3**0.75 * 0.6**0.25, 0.1**0.75 * 0.2**0.25])
    assert first == pytest.approx(powers / powers.sum())
    assert second[1] / second[0] == pytest.approx(4**0.75)


def test_ranks_by_hand_with_a_tie():
    """Points n + 1 - rank; the tie of the second question's B is shared, 1.5 each."""
    first, second = blended([A, B], "rank")
    assert first == pytest.approx([(3 + 1.5) / 12, (2 + 3) / 12, (1 + 1.5) / 12])
    assert second == pytest.approx([(1 + 1.5) / 6, (2 + 1.5) / 6])


@pytest.mark.parametrize("mean", MEANS)
def test_offsets_of_scores_do_not_count(mean):
    """Scores are logits: runs whose scores lie 1,000 apart must not outvote each other."""
    shifted = [[score + 1000 for score in row] for row in B]
    for plain, moved in zip(blended([A, B], mean), blended([A, shifted], mean), strict=True):
        assert moved == pytest.approx(plain, abs=1e-9)


@pytest.mark.parametrize("mean", MEANS)
def test_every_number_of_options_gives_probabilities(mean):
    draw = np.random.default_rng(0)
    parts = [[draw.normal(size=n).tolist() for n in range(2, 11)] for _ in range(3)]
    for row, n in zip(blended(parts, mean, [1, 0.5, 2]), range(2, 11), strict=True):
        assert len(row) == n
        assert row.sum() == pytest.approx(1, abs=1e-12)
        assert (row > 0).all()
    alone = [blended([[part[q] for part in [p]] for p in parts], mean, [1, 0.5, 2])[0] for q in range(9)]
    for row, single in zip(blended(parts, mean, [1, 0.5, 2]), alone, strict=True):
        assert row == pytest.approx(single, abs=1e-12), "a question does not depend on its neighbours"


@pytest.mark.parametrize("mean", MEANS)
def test_a_run_blended_with_itself_is_itself(mean):
    once, twice = blended([A], mean), blended([A, A], mean, [0.3, 0.7])
    for first, second in zip(once, twice, strict=True):
        assert second == pytest.approx(first, abs=1e-12)


@pytest.mark.parametrize("mean", MEANS)
def test_the_order_of_the_runs_changes_no_bit_and_ties_stay_ties(mean):
    """A sum in another order has other last bits: two options that tie would be ranked by rounding."""
    rows = [[0.1, 0.7, 1.3], [0.7, 1.3, 0.1], [1.3, 0.1, 0.7]]
    results = [blended([[rows[i]] for i in order], mean)[0] for order in itertools.permutations(range(3))]
    for result in results:
        assert result.tolist() == results[0].tolist()
        assert len(set(result.tolist())) == 1


def test_a_blank_option_of_one_run_counts_as_probability_0():
    blank = [[-math.inf, 0.0, 0.0], [0.0, -math.inf]]
    first, _ = blended([A, blank], "probability")
    assert first == pytest.approx([0.3, 0.4, 0.3])
    first, second = blended([A, blank], "logit")
    assert first[0] == 0
    assert second.tolist() == [1.0, 0.0]
    first, second = blended([A, blank], "rank")
    assert first == pytest.approx([(3 + 1) / 12, (2 + 2.5) / 12, (1 + 2.5) / 12])
    assert second == pytest.approx([0.5, 0.5]), "a blank option does not tie with the padding"


@pytest.mark.parametrize("mean", MEANS)
def test_a_run_of_weight_0_does_not_count_even_where_it_has_blanks(mean):
    """0 times minus infinity is NaN."""
    blank = [[-math.inf, 0.0, 0.0], [0.0, -math.inf]]
    for row, alone in zip(blended([A, blank], mean, [1, 0]), blended([A], mean), strict=True):
        assert row.tolist() == alone.tolist()


def test_far_options_are_not_lost_to_rounding():
    """exp(-800) is 0 in a float: its logarithm would be that of a blank option."""
    scores_PQN, exists_QN = padded_scores([[[0.0, -800.0]], [[0.0, -900.0]]])
    logs = blend(scores_PQN, exists_QN, np.ones(2), "probability")
    assert logs[0, 1] == pytest.approx(-800 - math.log(2))


def test_logits_without_a_common_option_have_no_mean():
    scores_PQN, exists_QN = padded_scores([[[0.0, -math.inf]], [[-math.inf, 0.0]]])
    assert np.isneginf(blend(scores_PQN, exists_QN, np.ones(2), "logit")).all()
