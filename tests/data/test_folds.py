"""Folds keep a question and its near duplicates together."""

from __future__ import annotations

from collections import Counter

import pytest

from llmtuner.data.folds import folds_of
from llmtuner.data.question import Question
from llmtuner.errors import UserError

WORDS = ("atom", "bone", "cell", "dust", "echo", "fern", "gene", "heat", "iron", "jaws", "kelp", "lava", "moss", "node")


def question(number: int, text: str = "", options: tuple[str, ...] = ()) -> Question:
    """A question whose words are its own."""
    first = WORDS[number % 14] + str(number)
    texts = options or tuple(f"{first} {letter} of its {number}th kind" for letter in "wxyz")
    return Question(str(number), text or f"Which {first} stands beside {first} in row {number} of {first}s?", texts, 0)


def test_repeats_in_another_order_or_reworded_in_a_word_stay_in_one_fold():
    """A repeated question on both sides makes the out-of-fold score one of memory."""
    base = [question(number) for number in range(30)]
    reordered = [question(100 + q, base[q].question.upper(), base[q].options[::-1]) for q in range(30)]
    reworded = [question(200 + q, base[q].question.replace("stands", "is"), base[q].options) for q in range(30)]
    folds = folds_of([*base, *reordered, *reworded], 5, 0)
    assert folds.fold_of[:30] == folds.fold_of[30:60] == folds.fold_of[60:]
    assert (folds.groups, folds.largest) == (30, 3)
    assert set(Counter(folds.fold_of).values()) == {18}


@pytest.mark.parametrize("count", [2, 3, 7, 30])
def test_folds_are_of_one_size_as_far_as_groups_allow(count):
    sizes = Counter(folds_of([question(number) for number in range(30)], count, 0).fold_of)
    assert sorted(sizes) == list(range(count))
    assert max(sizes.values()) - min(sizes.values()) <= 1


def test_the_seed_alone_decides():
    questions = [question(number) for number in range(30)]
    assert folds_of(questions, 3, 0) == folds_of(questions, 3, 0)
    assert folds_of(questions, 3, 0) != folds_of(questions, 3, 1)


def test_more_folds_than_groups_and_a_single_fold_are_refused():
    twice = [question(1), question(2), question(1)]
    with pytest.raises(UserError, match=r"3 questions in 2 groups \(near duplicates count as one\).*at most --folds 2"):
        folds_of(twice, 3, 0)
    assert set(folds_of(twice, 2, 0).fold_of) == {0, 1}
    with pytest.raises(UserError, match="at least 2"):
        folds_of(twice, 1, 0)
