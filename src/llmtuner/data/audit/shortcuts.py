"""How much of the score can be had without knowing anything: one function a shortcut.

A shortcut is a function from a question, whose answer it does not look at, to a score an option, higher is better.
Adding one: the function, and its line in `SHORTCUTS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

from llmtuner.data.audit.wording import of_the_above
from llmtuner.data.question import Question
from llmtuner.data.words import words

Shortcut = Callable[[Question], list[float]]
MARGIN = 0.05  # MAP@3 above chance, beyond doubt, from which a shortcut is worth a warning
DOUBT = 2.0  # standard errors
FEWEST = 30  # questions that a shortcut must apply to, before what it scores there says anything


def longest(question: Question) -> list[float]:
    """The option with the most characters."""
    return [float(len(option)) for option in question.options]


def shortest(question: Question) -> list[float]:
    """The option with the fewest characters."""
    return [-float(len(option)) for option in question.options]


def like_the_question(question: Question) -> list[float]:
    """The option whose words are most like the question's (cosine of the two sets of words)."""
    return to_question(words(question.question), [set(words(option)) for option in question.options])


def like_the_others(question: Question) -> list[float]:
    """The option whose words are most like those of the other options: wrong ones are often made from the right one."""
    return to_others([set(words(option)) for option in question.options])


def of_the_above_option(question: Question) -> list[float]:
    """ "All of the above", "none of the above" and the like, where there is one."""
    return [float(of_the_above(option)) for option in question.options]


SHORTCUTS: dict[str, Shortcut] = {
    "longest option": longest,
    "shortest option": shortest,
    "most like the question": like_the_question,
    "most like the other options": like_the_others,
    "all or none of the above": of_the_above_option,
}


def to_question(asked: Sequence[str], options: Sequence[Set[str]]) -> list[float]:
    """Likeness of each option's words to the question's, from 0 to 1."""
    every = set(asked)
    return [_cosine(every, option) for option in options]


def to_others(options: Sequence[Set[str]]) -> list[float]:
    """Mean likeness of each option's words to those of the other options, from 0 to 1."""
    likeness = [[0.0] * len(options) for _ in options]
    for one, other in combinations(range(len(options)), 2):
        likeness[one][other] = likeness[other][one] = _cosine(options[one], options[other])
    return [sum(row) / (len(options) - 1) for row in likeness]


def _cosine(one: Set[str], other: Set[str]) -> float:
    return len(one & other) / sqrt(len(one) * len(other)) if one and other else 0.0


@dataclass(frozen=True, slots=True)
class ShortcutScore:
    """What a shortcut scores on a file's answered questions; ties count at their expected value.

    Args:
        applies: questions on which it prefers some option to others.
        map_at_3_where, chance_where: on those questions alone; None where there are none.
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
        """Whether it beats chance by `MARGIN` on the file or, if it seldom applies, where it does; doubt deducted."""
        if self.questions < FEWEST:
            return False
        if _above(self.map_at_3, self.chance, self.questions):
            return True
        if self.map_at_3_where is None or self.chance_where is None or self.applies < FEWEST:
            return False
        return _above(self.map_at_3_where, self.chance_where, self.applies)


def score(name: str, questions: Sequence[Question], scores: Sequence[Sequence[float]]) -> ShortcutScore:
    """Score one ranking.

    Args:
        questions: with answers, at least one.
        scores: one number an option, for each question.
    """
    from llmtuner.metrics import map_at_k

    where = [place for place, numbers in enumerate(scores) if min(numbers) < max(numbers)]
    there = [questions[place] for place in where]
    answers = [question.answer for question in there if question.answer is not None]

    def of(k: int) -> tuple[float, float]:
        """MAP@k on all questions and on those where it applies; on the others, all options tie."""
        everywhere, by_chance = _chance(questions, k), _chance(there, k) if there else 0.0
        reached = map_at_k([scores[place] for place in where], answers, k) if there else 0.0
        return everywhere + (reached - by_chance) * len(there) / len(questions), reached

    map_at_3, map_at_3_where = of(3)
    return ShortcutScore(
        name=name,
        questions=len(questions),
        map_at_3=round(map_at_3, 6),
        accuracy=round(of(1)[0], 6),
        chance=round(_chance(questions, 3), 6),
        applies=len(there),
        map_at_3_where=round(map_at_3_where, 6) if there else None,
        chance_where=round(_chance(there, 3), 6) if there else None,
    )


def _chance(questions: Sequence[Question], k: int) -> float:
    """MAP@k of a random order: that of ties, which depends on the number of options alone."""
    from llmtuner.metrics import map_at_k

    numbers = Counter(len(question.options) for question in questions)
    return sum(map_at_k([[0.0] * count], [0], k) * number for count, number in numbers.items()) / len(questions)


def shortcut_scores(questions: Sequence[Question]) -> list[ShortcutScore]:
    """Every shortcut on the questions that have an answer; none where no question has."""
    answered = [question for question in questions if question.answer is not None]
    if not answered:
        return []
    return [score(name, answered, [rank(question) for question in answered]) for name, rank in SHORTCUTS.items()]


def _above(reached: float, chance: float, questions: int) -> bool:
    # A number between 0 and 1 with mean m has a variance of at most m(1 - m).
    return reached - DOUBT * sqrt(reached * (1 - reached) / questions) > chance + MARGIN
