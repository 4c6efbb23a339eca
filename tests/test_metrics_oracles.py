"""The metrics against independent libraries, where these are defined: without ties."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import label_ranking_average_precision_score, log_loss, top_k_accuracy_score

from llmtuner.metrics import accuracy, ece, map_at_k, mrr, nll

OPTIONS = 5


@pytest.fixture(scope="module")
def exam() -> tuple[np.ndarray, np.ndarray]:
    """Scores of 300 questions that lean towards their answers, and the answers."""
    draw = np.random.default_rng(0)
    answers = draw.integers(OPTIONS, size=300)
    return draw.normal(size=(300, OPTIONS)) + 1.5 * np.eye(OPTIONS)[answers], answers


def softmax(scores: np.ndarray) -> np.ndarray:
    return np.exp(scores) / np.exp(scores).sum(1, keepdims=True)


def test_rankings_against_ir_measures(exam):
    scores, answers = exam
    relevant = [ir_measures.Qrel(str(q), str(answer), 1) for q, answer in enumerate(answers)]
    actual = [
        ir_measures.ScoredDoc(str(q), str(option), score)
        for q, row in enumerate(scores)
        for option, score in enumerate(row)
    ]
    measures = {name: ir_measures.parse_measure(name) for name in ("AP@3", "RR@3", "RR")}
    values = ir_measures.calc_aggregate(measures.values(), relevant, actual)
    assert map_at_k(scores, answers) == pytest.approx(values[measures["AP@3"]], abs=1e-9)
    assert map_at_k(scores, answers) == pytest.approx(values[measures["RR@3"]], abs=1e-9)
    assert mrr(scores, answers) == pytest.approx(values[measures["RR"]], abs=1e-9)


def test_map3_is_a_mixture_of_scikit_learns_top_k_accuracies(exam):
    scores, answers = exam
    first, second, third = (top_k_accuracy_score(answers, scores, k=k, labels=range(OPTIONS)) for k in (1, 2, 3))
    assert map_at_k(scores, answers) == pytest.approx(first / 2 + second / 6 + third / 3)
    assert accuracy(scores, answers) == pytest.approx(first)


def test_mrr_and_nll_against_scikit_learn(exam):
    scores, answers = exam
    assert mrr(scores, answers) == pytest.approx(
        label_ranking_average_precision_score(np.eye(OPTIONS)[answers], scores)
    )
    assert nll(scores, answers) == pytest.approx(log_loss(answers, softmax(scores), labels=range(OPTIONS)))


@pytest.mark.parametrize("bins", [5, 15])
def test_ece_from_scikit_learns_calibration_curve(exam, bins):
    scores, answers = exam
    confidences = softmax(scores).max(1)
    right = scores.argmax(1) == answers
    observed, predicted = calibration_curve(right, confidences, n_bins=bins)
    sizes = np.histogram(confidences, bins=bins, range=(0, 1))[0]
    expected = (np.abs(observed - predicted) * sizes[sizes > 0]).sum() / len(answers)
    assert ece(scores, answers, bins) == pytest.approx(expected)


def test_ece_of_certainty_and_of_ties():
    assert ece([[800.0, 0.0], [0.0, 800.0]], [0, 0]) == pytest.approx(0.5)
    assert ece([[1.0, 1.0, 1.0]], [2]) == pytest.approx(0.0), "as sure as it is right"
    with pytest.raises(ValueError, match="no questions"):
        ece([], [])
