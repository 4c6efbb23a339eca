"""Shortcuts: baselines that need no language model and no knowledge, one function for each.

A shortcut takes a question and returns one score for each option, higher is better. It does not use the answer.
To add one, write the function and add its line to `SHORTCUTS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, compress
from math import sqrt

from llmtuner.data.audit.wording import of_the_above
from llmtuner.data.question import Question
from llmtuner.data.words import words

Shortcut = Callable[[Question], list[float]]
MARGIN = 0.05  # a shortcut is worth a warning if its MAP@3 minus `STANDARD_ERRORS` is this far above chance
STANDARD_ERRORS = 2.0
MIN_QUESTIONS = 30  # to which a shortcut must apply; on fewer its score is meaningless


def longest(question: Question) -> list[float]:
    """The option with the most characters."""
    return [float(len(option)) for option in question.options]


def shortest(question: Question) -> list[float]:
    """The option with the fewest characters."""
    return [-float(len(option)) for option in question.options]


def like_the_question(question: Question) -> list[float]:
    """The option most similar to the question, by the cosine of their sets of words."""
    return similarity_to_question(question.question, question.options)


def like_the_others(question: Question) -> list[float]:
    """The option most similar to the other options: wrong options are often made from the right one."""
    return similarity_to_others(question.options)


def of_the_above_option(question: Question) -> list[float]:
    """The option "all of the above", "none of the above" or similar, if there is one."""
    return [float(of_the_above(option)) for option in question.options]


SHORTCUTS: dict[str, Shortcut] = {
    "longest option": longest,
    "shortest option": shortest,
    "most like the question": like_the_question,
    "most like the other options": like_the_others,
    "all or none of the above": of_the_above_option,
}


@lru_cache(maxsize=8)
def similarity_to_question(question: str, options: Sequence[str]) -> list[float]:
    """Similarity of each option's words to the question's, from 0 to 1."""
    stem = stem_words(question)
    return [_cosine(stem, option) for option in word_sets(options)]


@lru_cache(maxsize=8)
def similarity_to_others(options: Sequence[str]) -> list[float]:
    """Mean similarity of each option's words to those of the other options, from 0 to 1."""
    sets = word_sets(options)
    similarity = [[0.0] * len(sets) for _ in sets]
    for i, j in combinations(range(len(sets)), 2):
        similarity[i][j] = similarity[j][i] = _cosine(sets[i], sets[j])
    return [sum(row) / (len(sets) - 1) for row in similarity]


@lru_cache(maxsize=8)
def stem_words(question: str) -> Set[str]:
    """The different words of the question's text."""
    return set(words(question))


@lru_cache(maxsize=8)  # all shortcuts and features of a question are computed one after the other
def option_words(options: Sequence[str]) -> tuple[list[str], ...]:
    """The words of each option."""
    return tuple(map(words, options))


@lru_cache(maxsize=8)
def word_sets(options: Sequence[str]) -> tuple[Set[str], ...]:
    """The different words of each option."""
    return tuple(map(set, option_words(options)))


def _cosine(first: Set[str], second: Set[str]) -> float:
    return len(first & second) / sqrt(len(first) * len(second)) if first and second else 0.0


@dataclass(frozen=True, slots=True)
class ShortcutScore:
    """The score of a shortcut on a file's answered questions. Ties count at their expected value.

    Args:
        applies: number of questions on which the shortcut does not score all options equally.
        map_at_3_where, chance_where: on these questions alone; None if there are none.
        chance: MAP@3 of a random order on all questions.
    """

    name: str
    questions: int
    map_at_3: float
    accuracy: float
    chance: float
    applies: int
    map_at_3_where: float | None
    chance_where: float | None

    @property
    def worth_a_warning(self) -> bool:
        """Whether the score is well above chance, on the file or on the questions to which the shortcut applies."""
        if self.questions < MIN_QUESTIONS:
            return False
        if _above(self.map_at_3, self.chance, self.questions):
            return True
        if self.map_at_3_where is None or self.chance_where is None or self.applies < MIN_QUESTIONS:
            return False
        return _above(self.map_at_3_where, self.chance_where, self.applies)


def score(name: str, questions: Sequence[Question], scores: Sequence[Sequence[float]]) -> ShortcutScore:
    """The score of one ranking.

    Args:
        questions: at least one, all with answers.
        scores: for each question one number for each option.
    """
    from llmtuner.metrics import Ranks

    all_ranks = Ranks.of(scores, [question.answer for question in questions if question.answer is not None])
    applies_Q = [tied < len(numbers) for tied, numbers in zip(all_ranks.tied_Q.tolist(), scores, strict=True)]
    applies = sum(applies_Q)
    ranks = Ranks(all_ranks.above_Q[applies_Q], all_ranks.tied_Q[applies_Q])
    options = Counter(len(numbers) for numbers in scores)
    options_where = Counter(len(numbers) for numbers in compress(scores, applies_Q))

    def map_at(k: int) -> tuple[float, float]:
        """MAP@k on all questions and on the affected ones; all options of the remaining questions tie."""
        score_where = ranks.mean_reciprocal(k) if applies else 0.0
        return _chance(options, k) + (score_where - _chance(options_where, k)) * applies / len(questions), score_where

    map_at_3, map_at_3_where = map_at(3)
    return ShortcutScore(
        name=name,
        questions=len(questions),
        map_at_3=round(map_at_3, 6),
        accuracy=round(map_at(1)[0], 6),
        chance=round(_chance(options, 3), 6),
        applies=applies,
        map_at_3_where=round(map_at_3_where, 6) if applies else None,
        chance_where=round(_chance(options_where, 3), 6) if applies else None,
    )


def _chance(options: Counter[int], k: int) -> float:
    """MAP@k of a random order, which equals that of equal scores, from the questions of each number of options."""
    from llmtuner.metrics import map_at_k

    total = sum(map_at_k([[0.0] * count], [0], k) * number for count, number in options.items())
    return total / options.total() if options else 0.0


def shortcut_scores(questions: Sequence[Question]) -> list[ShortcutScore]:
    """The score of every shortcut on the answered questions; empty if there are none."""
    answered = [question for question in questions if question.answer is not None]
    if not answered:
        return []
    return scores_of(answered, list(map(ranked, answered)))


def ranked(question: Question) -> list[list[float]]:
    """The options' scores by every shortcut, in the order of `SHORTCUTS`."""
    return [rank(question) for rank in SHORTCUTS.values()]


def scores_of(answered: Sequence[Question], scores: Sequence[Sequence[Sequence[float]]]) -> list[ShortcutScore]:
    """The score of every shortcut.

    Args:
        answered: at least one question, all with answers.
        scores: `ranked` of each question.
    """
    return [score(name, answered, [each[place] for each in scores]) for place, name in enumerate(SHORTCUTS)]


def _above(score: float, chance: float, questions: int) -> bool:
    """Whether a score exceeds chance by `MARGIN` after subtracting `STANDARD_ERRORS`."""
    # A number between 0 and 1 with mean m has a variance of at most m(1 - m).
    return score - STANDARD_ERRORS * sqrt(score * (1 - score) / questions) > chance + MARGIN
