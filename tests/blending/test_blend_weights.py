"""Fitted weights: the best on the simplex, by a search over a grid."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from llmtuner.blending.means import MEANS, blend, padded_scores
from llmtuner.blending.weights import fitted_weights
from llmtuner.errors import UserError
from llmtuner.metrics import nll

ANSWERS = np.random.default_rng(1).integers(2, size=200)


def run(skill: float, seed: int) -> list[list[float]]:
    """Scores of 200 questions with two to four options."""
    draw = np.random.default_rng(seed)
    rows = [draw.normal(size=2 + q % 3) for q in range(len(ANSWERS))]
    for row, answer in zip(rows, ANSWERS, strict=True):
        row[answer] += skill
    return [row.tolist() for row in rows]


def loss(scores_PQN, exists_QN, weights, mean) -> float:
    logs = blend(scores_PQN, exists_QN, np.array(weights), mean)
    return nll([row[: mask.sum()] for row, mask in zip(logs, exists_QN, strict=True)], ANSWERS.tolist())


@pytest.mark.parametrize("mean", MEANS)
def test_no_point_of_a_grid_is_better(mean):
    scores_PQN, exists_QN = padded_scores([run(1.5, 2), run(1.0, 3), run(0.0, 4)])
    weights = fitted_weights(scores_PQN, exists_QN, ANSWERS, mean)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    best = loss(scores_PQN, exists_QN, weights, mean)
    grid = [(a / 20, b / 20, (20 - a - b) / 20) for a, b in itertools.product(range(21), repeat=2) if a + b <= 20]
    losses = [loss(scores_PQN, exists_QN, point, mean) for point in grid]
    assert best <= min(losses) + 1e-7
    assert best < loss(scores_PQN, exists_QN, (1 / 3, 1 / 3, 1 / 3), mean) - 1e-3, "else nothing is tested"


@pytest.mark.parametrize("mean", MEANS)
def test_the_fit_is_the_same_each_time_and_follows_the_order_of_the_runs(mean):
    parts = [run(1.5, 2), run(1.0, 3), run(0.0, 4)]
    first = fitted_weights(*padded_scores(parts), ANSWERS, mean)
    assert fitted_weights(*padded_scores(parts), ANSWERS, mean).tolist() == first.tolist()
    assert fitted_weights(*padded_scores(parts[::-1]), ANSWERS, mean)[::-1] == pytest.approx(first, abs=1e-4)


@pytest.mark.parametrize("mean", MEANS)
def test_a_run_that_is_wrong_gets_nothing(mean):
    wrong = [[-8.0 if i == answer else 0.0 for i in range(2 + q % 3)] for q, answer in enumerate(ANSWERS)]
    weights = fitted_weights(*padded_scores([run(2.0, 2), wrong]), ANSWERS, mean)
    assert weights.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("mean", MEANS)
def test_blanks_are_no_nan(mean):
    first, second = run(1.5, 2), run(1.0, 3)
    for q in range(0, 50):
        second[q][ANSWERS[q]] = -math.inf
    for q in range(50, 100):
        second[q][1 - ANSWERS[q]] = -math.inf
    weights = fitted_weights(*padded_scores([first, second]), ANSWERS, mean)
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1)


def test_nothing_to_fit_is_said():
    blank = [[-math.inf, 0.0]]
    with pytest.raises(UserError, match="no question has a right option"):
        fitted_weights(*padded_scores([blank, blank]), np.array([0]), "probability")
