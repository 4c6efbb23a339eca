"""Near duplicates: the bands find what an exact comparison of all pairs finds, however the sets are divided."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.retrieval.near import NearIndex

THRESHOLD = 0.9


def kept_exactly(sets):
    """Every set compared with every one that was kept before it."""
    kept: list[set[int]] = []
    numbers = []
    for number, members in enumerate(set(each.tolist()) for each in sets):
        if not any(len(members & other) >= THRESHOLD * len(members | other) for other in kept):
            kept.append(members)
            numbers.append(number)
    return numbers


def random_sets(count, size=80, seed=0):
    """Sets, half of which share four fifths to all of their members with an earlier one."""
    generator = np.random.default_rng(seed)
    sets = [np.unique(generator.choice(2**32, size).astype(np.uint32))]
    while len(sets) < count:
        members = generator.choice(2**32, size).astype(np.uint32)
        if generator.random() < 0.5:
            shared = int(generator.integers(0.8 * size, size + 1))
            members[:shared] = np.resize(sets[generator.integers(len(sets))], shared)
        sets.append(np.unique(members))
    return sets


def kept_by_index(sets, groups, batch):
    index, kept = NearIndex(THRESHOLD), []
    for start in range(0, len(sets), batch):
        decisions = index.keep(sets[start : start + batch], groups[start : start + batch])
        kept += [start + place for place, is_kept in enumerate(decisions) if is_kept]
    return kept


def test_it_finds_what_comparing_all_pairs_finds():
    sets = random_sets(600)
    exactly = set(kept_exactly(sets))
    assert 300 < len(exactly) < 550
    by_index = set(kept_by_index(sets, [*range(600)], 100))
    assert len(exactly ^ by_index) <= 3  # a pair of similarity 0.9 is missed in 5 of 1,000 cases


@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
def test_batches_do_not_matter(batch):
    """A duplicate in the same batch was compared with earlier batches only."""
    sets = random_sets(200, seed=1)
    assert kept_by_index(sets, [*range(200)], batch) == kept_by_index(sets, [*range(200)], 200)


def test_sets_of_one_group_are_not_compared():
    sets = random_sets(1) * 4
    assert kept_by_index(sets, [5, 5, 6, 5], 4) == [0, 1, 3]


@given(sizes=st.lists(st.integers(min_value=0, max_value=3), max_size=12), batch=st.integers(min_value=1, max_value=12))
def test_small_and_empty_sets(sizes, batch):
    """An empty set resembles nothing, not even another empty one; reduceat gave it its neighbour's minimum."""
    sets = [np.arange(size, dtype=np.uint32) for size in sizes]
    groups = list(range(len(sets)))
    expected = [n for n, size in enumerate(sizes) if not size or sizes.index(size) == n]
    assert kept_by_index(sets, groups, batch) == expected


def test_a_text_that_all_copy_does_not_take_square_time(monkeypatch):
    """Most pairs of these sets share a band, and none is a near duplicate: each set was compared with all before it."""
    generator = np.random.default_rng(0)
    common = np.arange(88, dtype=np.uint32)
    sets = [np.unique(np.concatenate([common, generator.choice(2**32, 12).astype(np.uint32)])) for _ in range(400)]
    compared = 0
    resembles = NearIndex._resembles

    def counting(*args):
        nonlocal compared
        compared += 1
        return resembles(*args)

    monkeypatch.setattr(NearIndex, "_resembles", counting)
    assert kept_by_index(sets, [*range(400)], 100) == [*range(400)]
    assert 400 < compared < 400 * 399 / 2 / 4
