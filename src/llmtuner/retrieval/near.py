"""Finds near duplicates among sets of numbers: MinHash with bands, in batches of numpy.

Source: Broder, "On the resemblance and containment of documents" (1997); Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", chapter 3 (bands and rows).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

# Bands and rows. A pair of similarity 0.9 becomes a candidate in 995 of 1,000 cases, one of 0.95 in all but one of
# 30,000. Candidates are compared exactly.
_BANDS, _ROWS = 7, 6
_CANDIDATES = 8  # earlier sets with an equal band that are compared: a text that everybody copies would take n² time
_ODD = np.uint64(0x9E3779B97F4A7C15)


class NearIndex:
    """The sets that were kept so far, and which later ones resemble them.

    Memory: 84 bytes of band keys for each kept set, and 4 bytes for each of its members.

    Args:
        threshold: the Jaccard similarity (shared members / all members) from which on two sets are near duplicates.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        generator = np.random.default_rng(2023)
        self._factors = generator.integers(1, 2**63, _BANDS * _ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        self._offsets = generator.integers(0, 2**63, _BANDS * _ROWS, dtype=np.uint64)
        self._keys = _Runs()
        self._sets: list[bytes] = []
        self._groups = array("Q")

    def keep(self, sets: Sequence[Any], groups: Sequence[int]) -> list[bool]:
        """Whether each set of a batch is kept: it is no near duplicate of a set that was kept before it.

        Args:
            sets: sorted arrays of uint32 without repeats, one for each set; an empty one resembles nothing.
            groups: sets of an equal number are not compared.
        """
        keys_NB = self._band_keys(sets)
        earlier = self._keys.rows_of(keys_NB)
        batch: dict[int, list[int]] = {}
        in_batch = _repeated(keys_NB)
        decisions: list[bool] = []
        kept_numbers: list[int] = []
        first_new = len(self._sets)
        for number, (members, group) in enumerate(zip(sets, groups, strict=True)):
            repeated_keys = [int(key) for key in keys_NB[number] if int(key) in in_batch] if len(members) else []
            rows = {row for key in repeated_keys for row in batch.get(key, ())} | set(earlier.get(number, ()))
            is_near = any(self._resembles(members, group, row) for row in sorted(rows))
            decisions.append(not is_near)
            if is_near:
                continue
            for key in repeated_keys:
                if len(rows_of_key := batch.setdefault(key, [])) < _CANDIDATES:
                    rows_of_key.append(len(self._sets))
            self._sets.append(members.tobytes())
            self._groups.append(group)
            if len(members):
                kept_numbers.append(number)
        kept_rows = first_new + np.cumsum(decisions)[kept_numbers] - 1 if kept_numbers else np.zeros(0, int)
        self._keys.add(keys_NB[kept_numbers], kept_rows)
        return decisions

    def _resembles(self, members: Any, group: int, row: int) -> bool:
        if group == self._groups[row]:
            return False
        others = np.frombuffer(self._sets[row], dtype=np.uint32)
        smaller, larger = sorted((len(members), len(others)))
        if smaller < self._threshold * larger:
            return False
        shared = len(np.intersect1d(members, others, assume_unique=True))
        return bool(shared >= self._threshold * (len(members) + len(others) - shared))

    def _band_keys(self, sets: Sequence[Any]) -> Any:
        """A key for each band of each set, uint64 [sets, bands]; those of empty sets mean nothing."""
        lengths = np.array([len(members) for members in sets], dtype=np.int64)
        keys_NB = np.zeros((len(sets), _BANDS), dtype=np.uint64)
        filled: list[int] = np.flatnonzero(lengths).tolist()
        if not filled:
            return keys_NB
        members_M = np.concatenate([sets[number] for number in filled]).astype(np.uint64)
        starts = np.concatenate([[0], np.cumsum(lengths[filled])[:-1]])
        for band in range(_BANDS):
            key = np.full(len(filled), band + 1, dtype=np.uint64)
            for row in range(band * _ROWS, (band + 1) * _ROWS):
                hashed_M = (members_M * self._factors[row] + self._offsets[row]) >> np.uint64(32)
                key = (key ^ np.minimum.reduceat(hashed_M, starts)) * _ODD
                key ^= key >> np.uint64(29)
            keys_NB[filled, band] = key
        return keys_NB


def _repeated(keys_NB: Any) -> set[int]:
    """The keys that occur more than once."""
    keys, counts = np.unique(keys_NB, return_counts=True)
    return set(keys[counts > 1].tolist())


class _Runs:
    """Keys with row numbers in sorted runs that are merged when they are as long as their successor.

    A dictionary would take ten times the memory, and a single sorted array a copy of itself for every batch.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Any, Any]] = []

    def add(self, keys_NB: Any, rows_N: Any) -> None:
        """Add the keys of rows."""
        keys = keys_NB.ravel()
        rows = np.repeat(np.asarray(rows_N, dtype=np.int32), keys_NB.shape[1])
        if not len(keys):
            return
        order = np.argsort(keys, kind="stable")
        run = (keys[order], rows[order])
        while self._runs and len(self._runs[-1][0]) <= 2 * len(run[0]):
            older = self._runs.pop()
            keys, rows = np.concatenate([older[0], run[0]]), np.concatenate([older[1], run[1]])
            order = np.argsort(keys, kind="stable")
            run = (keys[order], rows[order])
        self._runs.append(run)

    def rows_of(self, keys_NB: Any) -> dict[int, list[int]]:
        """The rows that share a key with a set of the batch, by the number of the set; at most a few for each key."""
        matches: dict[int, list[int]] = {}
        bands = keys_NB.shape[1]
        keys = keys_NB.ravel()
        for run_keys, run_rows in self._runs:
            first = np.searchsorted(run_keys, keys, side="left")
            clipped = np.minimum(first, len(run_keys) - 1)
            for place in np.flatnonzero(run_keys[clipped] == keys).tolist():
                begin = int(first[place])
                end = begin + int(np.searchsorted(run_keys[begin : begin + _CANDIDATES], keys[place], side="right"))
                matches.setdefault(place // bands, []).extend(run_rows[begin:end].tolist())
        return matches
