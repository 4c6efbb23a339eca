"""Weights of a blend, fitted on questions that are not scored.

Legend: as in `llmtuner.blending.means`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from llmtuner.blending.means import GEOMETRIC, log_parts
from llmtuner.errors import UserError

_SMALLEST = 1e-300  # of a probability inside a logarithm, while a weight is on its way to 0
_NOTHING = 1e-6  # a weight below it is set to 0
_Value = Callable[[np.ndarray], tuple[float, np.ndarray]]


def fitted_weights(scores_PQN: np.ndarray, exists_QN: np.ndarray, answers_Q: np.ndarray, mean: str) -> np.ndarray:
    """The weights, at least 0 and with sum 1, that give the right options the highest likelihood, [P].

    The mean negative log-likelihood of the blend is convex in the weights for each of the means, so every start ends at
    the same value; the start is equal weights, and nothing is drawn. Solver: SLSQP (Kraft, "A software package for
    sequential quadratic programming", 1988) in scipy. Questions whose right option cannot be scored are left out.

    Source: stacking with weights on the simplex, Breiman, "Stacked regressions" (Machine Learning 24, 1996).

    Args:
        answers_Q: indices of the right options.

    Raises:
        UserError: no question is left, or the solver gives up.
    """
    from scipy.optimize import minimize

    parts = len(scores_PQN)
    log_PQN = log_parts(scores_PQN, exists_QN, mean)
    right_PQ = log_PQN[:, np.arange(len(answers_Q)), answers_Q]
    scored_Q = np.isfinite(right_PQ).all(0) if mean == GEOMETRIC else np.isfinite(right_PQ).any(0)
    if not scored_Q.any():
        raise UserError("--fit_on: no question has a right option that the runs can score; weights cannot be fitted")
    function = (_geometric if mean == GEOMETRIC else _arithmetic)(log_PQN[:, scored_Q], right_PQ[:, scored_Q])
    start_P = np.full(parts, 1 / parts)
    sums_to_one = {"type": "eq", "fun": lambda w_P: w_P.sum() - 1, "jac": np.ones_like}
    result = minimize(
        function,
        start_P,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * parts,
        constraints=[sums_to_one],
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    if not result.success or not np.isfinite(result.x).all():
        raise UserError(f"--weights fit: no weights were found ({result.message}); pass weights, or leave them equal")
    weights_P = np.where(result.x < _NOTHING, 0.0, result.x)
    return weights_P / weights_P.sum()


def _arithmetic(_: np.ndarray, right_PQ: np.ndarray) -> _Value:
    """The mean of -log(sum of w p) over questions, with its gradient; p is that of the right option."""
    highest_Q = right_PQ.max(0)
    shares_PQ = np.exp(right_PQ - highest_Q)

    def value(w_P: np.ndarray) -> tuple[float, np.ndarray]:
        mixed_Q = np.maximum(w_P @ shares_PQ, _SMALLEST)
        return float(-(np.log(mixed_Q) + highest_Q).mean()), -(shares_PQ / mixed_Q).mean(1)

    return value


def _geometric(log_PQN: np.ndarray, right_PQ: np.ndarray) -> _Value:
    """The mean of -log softmax(sum of w log p)[right] over questions, with its gradient."""
    possible_QN = np.isfinite(log_PQN).all(0)
    known_PQN = np.where(possible_QN, log_PQN, 0.0)

    def value(w_P: np.ndarray) -> tuple[float, np.ndarray]:
        pooled_QN = np.where(possible_QN, np.tensordot(w_P, known_PQN, 1), -np.inf)
        highest_Q1 = pooled_QN.max(-1, keepdims=True)
        powers_QN = np.exp(pooled_QN - highest_Q1)
        sums_Q1 = powers_QN.sum(-1, keepdims=True)
        expected_PQ = (known_PQN * (powers_QN / sums_Q1)).sum(-1)
        losses_Q = (highest_Q1 + np.log(sums_Q1))[:, 0] - w_P @ right_PQ
        return float(losses_Q.mean()), (expected_PQ - right_PQ).mean(1)

    return value
