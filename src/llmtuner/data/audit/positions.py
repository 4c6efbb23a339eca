"""Where the right option stands: an answer that is C more often than chance can be guessed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from llmtuner.data.question import Question

SURE = 0.001  # p-value below which the places are called unbalanced; at 0.05 every twentieth clean file would be


@dataclass(frozen=True, slots=True)
class Positions:
    """Places of the right option among questions with the same number of options.

    Args:
        right: how often each place holds it, A first.
        chi_square: of those numbers against equal ones, with `len(right) - 1` degrees of freedom.
        p_value: how often chance alone would be as far from equal, or farther.
    """

    right: tuple[int, ...]
    chi_square: float
    p_value: float

    @property
    def unbalanced(self) -> bool:
        """Whether chance is ruled out as the reason."""
        return self.p_value < SURE


def positions(questions: Sequence[Question]) -> list[Positions]:
    """One entry for each number of options, fewest first; questions without an answer do not count."""
    places: dict[int, Counter[int]] = defaultdict(Counter)
    for question in questions:
        if question.answer is not None:
            places[len(question.options)][question.answer] += 1
    return [_of([found[place] for place in range(count)]) for count, found in sorted(places.items())]


def _of(right: Sequence[int]) -> Positions:
    from scipy.stats import chi2

    expected = sum(right) / len(right)
    chi_square = sum((number - expected) ** 2 for number in right) / expected
    return Positions(tuple(right), round(chi_square, 3), float(chi2.sf(chi_square, len(right) - 1)))
