"""The best k of many scores, in an order that does not depend on how they were computed: ties go by row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_BLOCK = 64  # scores of which only the largest is compared at first


def best_rows(scores_N: NDArray[np.floating], k: int, *, above: float = -np.inf) -> NDArray[np.int64]:
    """The rows of the k largest scores, best first; equal scores by row.

    The k-th largest of the blocks' largest scores is a lower bound of the k-th largest score, so only the few scores
    from that bound on are sorted.

    Args:
        scores_N: one score a row; none is NaN.
        k: at least 1; a k above the number of rows gives all.
        above: rows count only if their score is larger.
    """
    rows = len(scores_N)
    if not rows:
        return np.zeros(0, np.int64)
    bound = above
    whole = rows // _BLOCK
    if whole > k:
        largest_B = scores_N[: whole * _BLOCK].reshape(whole, _BLOCK).max(axis=1)
        bound = np.partition(largest_B, whole - k)[whole - k]
    at_least_N = (scores_N >= bound) & (scores_N > above) if bound > above else scores_N > above
    candidates = np.flatnonzero(at_least_N)
    order = np.lexsort((candidates, -scores_N[candidates]))[:k]
    return candidates[order]


def fused(rankings: Sequence[Sequence[int]], k: int, *, constant: int = 60) -> list[tuple[int, float]]:
    """Reciprocal rank fusion: a row scores the sum of 1 / (constant + its place) over the rankings that have it.

    Args:
        rankings: rows, best first.
        k: how many are returned.
        constant: 60 in the paper.

    Returns:
        (row, score), best first, ties by row.

    Source: Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
    methods", SIGIR 2009.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for place, row in enumerate(ranking, start=1):
            scores[row] = scores.get(row, 0.0) + 1 / (constant + place)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k]
