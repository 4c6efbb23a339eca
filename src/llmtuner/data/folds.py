"""Folds by question: a question, repeated in another order of its options or reworded in a word, stays in one fold."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from llmtuner.data.duplicates import groups_of, near_groups
from llmtuner.data.question import Question
from llmtuner.errors import UserError


@dataclass(frozen=True)
class Folds:
    """A division of questions.

    Args:
        fold_of: of each question, from 0.
        groups: questions that are not near duplicates of each other.
        largest: questions of the largest group.
    """

    fold_of: tuple[int, ...]
    groups: int
    largest: int


def folds_of(questions: Sequence[Question], count: int, seed: int) -> Folds:
    """Divide questions by group, so that the folds have about as many questions.

    The groups are those of `near_groups`. They are drawn in random order; the largest come first, and each goes to the
    smallest fold so far.

    Raises:
        UserError: there are fewer groups than folds, or the package that finds near duplicates is not installed.
    """
    if count < 2:
        raise UserError(f"--folds {count}: expected at least 2")
    try:
        groups = groups_of(near_groups(questions))
    except ImportError as error:
        raise UserError(f"the package {error.name} is not installed (pip install {error.name})") from error
    if len(groups) < count:
        repeated = " (near duplicates count as one)" if len(groups) < len(questions) else ""
        raise UserError(
            f"--folds {count}: the data have {len(questions):,} questions in {len(groups):,} groups{repeated}, and "
            f"each fold needs one; pass at most --folds {len(groups)}"
        )
    random.Random(seed).shuffle(groups)
    sizes, fold_of = [0] * count, [0] * len(questions)
    for rows in sorted(groups, key=len, reverse=True):
        smallest = sizes.index(min(sizes))
        sizes[smallest] += len(rows)
        for row in rows:
            fold_of[row] = smallest
    return Folds(tuple(fold_of), len(groups), max(map(len, groups)))
