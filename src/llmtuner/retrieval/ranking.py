"""The best k of many scores, in an order that does not depend on how they were computed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Ties = Callable[[NDArray[np.int64]], NDArray[np.int64]]  # numbers by which rows with equal scores are ordered
_BLOCK = 64  # scores of which only the largest is compared at first


def by_row(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ties go by row."""
    return rows


def best_rows(
    scores_N: NDArray[np.floating], k: int, *, above: float = -np.inf, ties: Ties = by_row
) -> NDArray[np.int64]:
    """The rows of the k largest scores, best first.

    The k-th largest of the blocks' largest scores is a lower bound of the k-th largest score, so only the few scores
    from that bound on are sorted.

    Args:
        scores_N: one score a row; none is NaN.
        k: at least 1; a k above the number of rows gives all.
        above: rows count only if their score is larger.
        ties: orders equal scores; asked only if there are some that matter.
    """
    rows = len(scores_N)
    if not rows:
        return np.zeros(0, np.int64)
    bound = above
    whole = rows // _BLOCK
    if whole > k:
        largest_B = scores_N[: whole * _BLOCK].reshape(whole, _BLOCK).max(axis=1)
        bound = np.partition(largest_B, whole - k)[whole - k]
    at_least_N = scores_N >= bound if bound > above else scores_N > above
    candidates = np.flatnonzero(at_least_N)
    order = np.lexsort((candidates, -scores_N[candidates]))
    leading = scores_N[candidates[order[: k + 1]]]
    if (leading[1:] == leading[:-1]).any():
        order = np.lexsort((ties(candidates), -scores_N[candidates]))
    return candidates[order[:k]]
