"""The two ways to lay the options of a question out in rows: packed behind one shared prefix, or one row each.

Both give every option the same tokens at the same positions with the same tokens to look at, so that both compute the
same states; packed rows compute those of the prefix once.

Shape legend: B rows, T tokens of a row, Q questions, N options (padded to the most in the batch).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from llmtuner.data.option import OptionTokens, Span

PREFIX, PADDING = -1, -2  # segments of a packed row besides its options 0, 1, ...


_Row = tuple[list[int], list[int], list[int]]  # ids, positions, segments


@dataclass(frozen=True)
class Place:
    """Where the tokens of one option's sequence stand: `shared` from the start of the row, the rest at `begin`."""

    row: int
    begin: int
    shared: int
    length: int

    def index(self, token: int) -> int:
        """Place in the row of a token of the option's own sequence.

        Raises:
            IndexError: the sequence has no such token; the row may have one there, of another option.
        """
        if not 0 <= token < self.length:
            raise IndexError(f"token {token} of a sequence of {self.length}")
        return token if token < self.shared else self.begin + token - self.shared


@dataclass(frozen=True)
class Rows:
    """A batch of rows for a backbone, and how to find each option in them.

    Args:
        input_ids_BT, position_ids_BT: right-padded; positions count within each option's own sequence.
        segment_BT: 0, 1, ... for an option's own tokens, PREFIX for shared ones, PADDING.
        places: for each question, each option's place.
        packed: whether options share rows, so that a tree mask is needed.
    """

    input_ids_BT: torch.Tensor
    position_ids_BT: torch.Tensor
    segment_BT: torch.Tensor
    places: list[list[Place]]
    packed: bool

    def to(self, device: torch.device | str) -> Rows:
        """The same on another device."""
        return replace(
            self,
            input_ids_BT=self.input_ids_BT.to(device),
            position_ids_BT=self.position_ids_BT.to(device),
            segment_BT=self.segment_BT.to(device),
        )


def shared_prefix(questions: Sequence[OptionTokens], pad_token_id: int) -> Rows:
    """One row a question: [prefix | option 1 | ... | option n], the prefix being the longest common one."""
    rows: list[_Row] = []
    places = []
    for row, tokens in enumerate(questions):
        shared = tokens.prefix_length
        ids, positions, segments = tokens.sequences[0][:shared], list(range(shared)), [PREFIX] * shared
        of_question = []
        for option, sequence in enumerate(tokens.sequences):
            of_question.append(Place(row, len(ids), shared, len(sequence)))
            ids += sequence[shared:]
            positions += range(shared, len(sequence))
            segments += [option] * (len(sequence) - shared)
        rows.append((ids, positions, segments))
        places.append(of_question)
    return _pad(rows, places, pad_token_id, packed=True)


def per_option(questions: Sequence[OptionTokens], pad_token_id: int) -> Rows:
    """One row an option: the reference, the fallback, and the layout for bidirectional encoders."""
    rows: list[_Row] = []
    places = []
    for tokens in questions:
        places.append([Place(len(rows) + i, 0, 0, len(s)) for i, s in enumerate(tokens.sequences)])
        rows += [(s, list(range(len(s))), [0] * len(s)) for s in tokens.sequences]
    return _pad(rows, places, pad_token_id, packed=False)


LAYOUTS: dict[str, Callable[[Sequence[OptionTokens], int], Rows]] = {
    "shared_prefix": shared_prefix,
    "per_option": per_option,
}


def _pad(
    rows: Sequence[tuple[list[int], list[int], list[int]]],
    places: list[list[Place]],
    pad_token_id: int,
    *,
    packed: bool,
) -> Rows:
    longest = max(len(ids) for ids, _, _ in rows)

    def padded(column: int, filler: int) -> torch.Tensor:
        return torch.tensor([row[column] + [filler] * (longest - len(row[column])) for row in rows])

    return Rows(padded(0, pad_token_id), padded(1, 0), padded(2, PADDING), places, packed)


def gather_last(hidden_BTD: torch.Tensor, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """The state of each option's last token.

    Returns:
        ([Q, N, D] with zeros where a question has fewer options, [Q, N] true where there is an option)
    """
    most = max(map(len, rows.places))
    batch = [[place.row for place in options] + [0] * (most - len(options)) for options in rows.places]
    token = [
        [place.index(place.length - 1) for place in options] + [0] * (most - len(options)) for options in rows.places
    ]
    there_QN = torch.tensor([[i < len(options) for i in range(most)] for options in rows.places])
    device = hidden_BTD.device
    states_QND = hidden_BTD[torch.tensor(batch, device=device), torch.tensor(token, device=device)]
    there_QN = there_QN.to(device)
    return states_QND * there_QN[..., None], there_QN


def gather_span(hidden_BTD: torch.Tensor, place: Place, span: Span) -> torch.Tensor:
    """The states of a span of an option's own sequence: [end - begin, D]."""
    indices = torch.tensor([place.index(token) for token in range(*span)], dtype=torch.long, device=hidden_BTD.device)
    return hidden_BTD[place.row, indices]
