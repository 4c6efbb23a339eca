"""The positions of the right options. If C is right more often than chance, a model can learn to guess C."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from llmtuner.data.question import Question

SIGNIFICANCE = 0.001  # p-value of unbalanced positions; at 0.05 every twentieth clean file would be unbalanced


@dataclass(frozen=True, slots=True)
class Positions:
    """Positions of the right option, over questions with the same number of options.

    Args:
        right: numbers of right options at each position, A first.
        chi_square: of these numbers against equal ones, with `len(right) - 1` degrees of freedom.
        p_value: probability of a chi-square this large by chance.
    """

    right: tuple[int, ...]
    chi_square: float
    p_value: float

    @property
    def unbalanced(self) -> bool:
        """Whether the unequal numbers are unlikely to be chance."""
        return self.p_value < SIGNIFICANCE


def positions(questions: Sequence[Question]) -> list[Positions]:
    """One entry for each number of options, in ascending order. Questions without an answer do not count."""
    answers_by_count: dict[int, Counter[int]] = defaultdict(Counter)
    for question in questions:
        if question.answer is not None:
            answers_by_count[len(question.options)][question.answer] += 1
    return [
        _tested([answers[position] for position in range(count)]) for count, answers in sorted(answers_by_count.items())
    ]


def _tested(right: Sequence[int]) -> Positions:
    from scipy.stats import chi2

    expected = sum(right) / len(right)
    chi_square = sum((number - expected) ** 2 for number in right) / expected
    return Positions(tuple(right), round(chi_square, 3), float(chi2.sf(chi_square, len(right) - 1)))
