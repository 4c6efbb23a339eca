"""One vector an option from its token states.

Shape legend: B rows, T tokens, D hidden width, Q questions, N options.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from llmtuner.data.option import OptionTokens
from llmtuner.mcq.layout import Place, Rows, gather_last, gather_span


def last(hidden_BTD: torch.Tensor, rows: Rows, _: Sequence[OptionTokens]) -> torch.Tensor:
    """The state of the last token, the template's closing one: it has seen everything. For causal models."""
    return gather_last(hidden_BTD, rows)[0]


def first(hidden_BTD: torch.Tensor, rows: Rows, _: Sequence[OptionTokens]) -> torch.Tensor:
    """The state of the first token, as BERT's [CLS]; of a causal model it is the same for every option."""
    return _each(hidden_BTD, rows, lambda place, _: gather_span(hidden_BTD, place, (0, 1)))


def mean(hidden_BTD: torch.Tensor, rows: Rows, _: Sequence[OptionTokens]) -> torch.Tensor:
    """The mean over the option's whole sequence, context and question included."""
    return _each(hidden_BTD, rows, lambda place, _: gather_span(hidden_BTD, place, (0, place.length)))


def option(hidden_BTD: torch.Tensor, rows: Rows, questions: Sequence[OptionTokens]) -> torch.Tensor:
    """The mean over the option's own text; the last token stands in for a blank option."""
    spans = [tokens.options for tokens in questions]

    def of_option(place: Place, at: tuple[int, int]) -> torch.Tensor:
        begin, end = spans[at[0]][at[1]]
        return gather_span(hidden_BTD, place, (begin, end) if end > begin else (place.length - 1, place.length))

    return _each(hidden_BTD, rows, of_option)


POOLINGS: dict[str, Callable[[torch.Tensor, Rows, Sequence[OptionTokens]], torch.Tensor]] = {
    "last": last,
    "first": first,
    "mean": mean,
    "option": option,
}


def _each(
    hidden_BTD: torch.Tensor, rows: Rows, states: Callable[[Place, tuple[int, int]], torch.Tensor]
) -> torch.Tensor:
    """Means of each option's states as [Q, N, D], zeros where a question has fewer options."""
    most = max(map(len, rows.places))
    nothing_D = hidden_BTD.new_zeros(hidden_BTD.shape[-1])
    return torch.stack(
        [
            torch.stack(
                [states(place, (q, n)).mean(0) for n, place in enumerate(places)] + [nothing_D] * (most - len(places))
            )
            for q, places in enumerate(rows.places)
        ]
    )
