"""Joint prompts in several cyclic orders of their options, averaged by option: a letter's own appeal cancels out.

Source: Zheng et al., 2024, cyclic permutations (docs/sources.md).

With as many orders as options, each option stands at each place once, so a question whose options are rotated gets the
same averages, rotated. Exchanging two options is another matter: their neighbours change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from llmtuner.data.question import Question
from llmtuner.mcq.questions import NOT_COUNTED, Example, Pick, QuestionSet, Tokens

Encode = Callable[[Question], Tokens]


def orders_of(questions: Sequence[Question], orders: int) -> list[int]:
    """In how many orders each question is scored: a question with fewer options has one order for each of them."""
    return [min(orders, len(question.options)) for question in questions]


def rotated(question: Question, shift: int) -> Question:
    """The question with its options `shift` places further up; those from the top follow at the end."""
    options, answer = question.options, question.answer
    moved = None if answer is None else (answer - shift) % len(options)
    return replace(question, options=(*options[shift:], *options[:shift]), answer=moved)


class InOrders(QuestionSet):
    """Every question in its first `orders` cyclic orders, one after the other.

    The other orders are encoded when they are picked, so that they take no memory. Their prompts have as many tokens as
    the first one, since fields are tokenised one by one.

    Args:
        plain: encoded joint prompts.
        orders: how many, at most.
    """

    def __init__(self, plain: QuestionSet, orders: int) -> None:
        super().__init__([])
        self._encode = plain.encode_one
        self.counts = orders_of(plain.questions, orders)
        self._shifts = [shift for count in self.counts for shift in range(count)]
        owners = [row for row, count in enumerate(self.counts) for _ in range(count)]
        self.questions = [plain.questions[row] for row in owners]
        self.tokens = [plain.tokens[row] for row in owners]

    def __getitem__(self, pick: Pick | int) -> Example:
        row = pick if isinstance(pick, int) else pick.row
        shift = self._shifts[row]
        tokens = self._encode(rotated(self.questions[row], shift)) if shift else self.tokens[row]
        return Example(tokens, NOT_COUNTED, row)

    def averaged(self, scores: Sequence[Sequence[float]]) -> list[tuple[float, ...]]:
        """For each question the logarithms of its options' probabilities, averaged over its orders.

        Args:
            scores: of every row, in the places of its own order.
        """
        averages, begin = [], 0
        for count in self.counts:
            averages.append(average(scores[begin : begin + count]))
            begin += count
        return averages


def average(scores: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The logarithm of each option's mean probability, over cyclic orders from the first on.

    Args:
        scores: of each order, before the softmax; order `s` has option `s` at its first place.
    """
    options = len(scores[0])
    log_p = [[score - _log_sum_exp(of_order) for score in of_order] for of_order in scores]
    return tuple(
        _log_sum_exp([log_p[shift][(option - shift) % options] for shift in range(len(scores))]) - math.log(len(scores))
        for option in range(options)
    )


def _log_sum_exp(values: Sequence[float]) -> float:
    highest = max(values)
    return highest + math.log(sum(math.exp(value - highest) for value in values))
