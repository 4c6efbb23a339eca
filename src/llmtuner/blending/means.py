"""The mean of several runs' probabilities, logits or ranks, question by question.

Legend: P parts (runs), Q questions, N options; a question with fewer than N options is padded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MEANS = ("probability", "logit", "rank")
GEOMETRIC = "logit"  # the others are weighted sums of distributions


def padded_scores(parts: Sequence[Sequence[Sequence[float]]]) -> tuple[np.ndarray, np.ndarray]:
    """The scores of all parts, [P, Q, N] with minus infinity as padding, and which options exist, [Q, N].

    Args:
        parts: scores of each part's questions, which are the same questions in the same order.
    """
    counts_Q = np.array([len(scores) for scores in parts[0]])
    exists_QN = np.arange(int(counts_Q.max())) < counts_Q[:, None]
    scores_PQN = np.full((len(parts), *exists_QN.shape), -np.inf)
    for part, scores_QN in zip(parts, scores_PQN, strict=True):
        scores_QN[exists_QN] = np.concatenate([np.asarray(scores, dtype=np.float64) for scores in part])
    return scores_PQN, exists_QN


def log_parts(scores_PQN: np.ndarray, exists_QN: np.ndarray, mean: str) -> np.ndarray:
    """The logarithm of the distribution over the options that each part brings into the mean, [P, Q, N].

    `probability` and `logit`: the softmax of its scores. `rank`: of n options the one at rank r gets n + 1 - r, divided
    by the sum over all ranks; options that tie share the mean of their ranks.

    Args:
        scores_PQN, exists_QN: from `padded_scores`; an option that a part cannot score is minus infinity.
    """
    if mean != "rank":
        return scores_PQN - _log_sum_exp(scores_PQN)
    above_PQNN = (scores_PQN[..., None, :] > scores_PQN[..., :, None]) & exists_QN[:, None, :]
    tied_PQNN = (scores_PQN[..., None, :] == scores_PQN[..., :, None]) & exists_QN[:, None, :]
    ranks_PQN = above_PQNN.sum(-1) + (tied_PQNN.sum(-1) + 1) / 2
    counts_Q1 = exists_QN.sum(-1, keepdims=True)
    points_PQN = np.where(exists_QN, counts_Q1 + 1 - ranks_PQN, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(points_PQN / (counts_Q1 * (counts_Q1 + 1) / 2))


def blend(scores_PQN: np.ndarray, exists_QN: np.ndarray, weights_P: np.ndarray, mean: str) -> np.ndarray:
    """Logarithms of the blended probabilities, [Q, N]; the order of the parts changes no bit if weights are equal.

    `probability`: the weighted mean of the parts' probabilities. `logit`: the softmax of the weighted mean of their
    logits, which is the normalised geometric mean of their probabilities: an option that a part cannot score has
    probability 0, as has every option of a question where no option is left (the caller refuses such). `rank`: mean
    ranks, as points (`log_parts`) so that they are probabilities.

    Sources: linear and logarithmic opinion pools (Genest and Zidek, "Combining probability distributions", Statistical
    Science 1, 1986); Borda's count for ranks.

    Args:
        weights_P: at least 0, and not all 0; a part of weight 0 does not count at all.
    """
    used = weights_P > 0
    log_PQN, weights = log_parts(scores_PQN[used], exists_QN, mean), weights_P[used][:, None, None]
    if mean == GEOMETRIC:
        pooled_QN = _sum(weights * log_PQN, 0) / weights.sum()
        with np.errstate(invalid="ignore"):
            return np.where(np.isfinite(pooled_QN), pooled_QN - _log_sum_exp(pooled_QN), -np.inf)
    highest_QN = log_PQN.max(0)
    base_QN = np.where(np.isfinite(highest_QN), highest_QN, 0.0)
    sums_QN = _sum(weights * np.exp(log_PQN - base_QN), 0) / weights.sum()
    with np.errstate(divide="ignore"):
        return base_QN + np.log(sums_QN)


def _log_sum_exp(values: np.ndarray) -> np.ndarray:
    """Over the last axis, which stays with length 1; minus infinity where all values are."""
    highest = values.max(-1, keepdims=True)
    base = np.where(np.isfinite(highest), highest, 0.0)
    with np.errstate(divide="ignore"):
        return base + np.log(_sum(np.exp(values - base), -1)[..., None])


def _sum(terms: np.ndarray, axis: int) -> np.ndarray:
    """The sum of sorted terms: equal terms in another order have the same sum, so options that tie still tie."""
    return np.sort(terms, axis=axis).sum(axis)
