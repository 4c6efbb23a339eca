"""The two ways to lay the options of a question out in rows: packed behind one shared prefix, or one row each.

Both give every option the same tokens at the same positions with the same tokens to look at, so that both compute the
same states; packed rows compute those of the prefix once. (The joint prompt, which has all options in one sequence, is
a row of its own kind: `llmtuner.mcq.collate`.)

Shape legend: B rows, T tokens of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from llmtuner.data.tokens.option import OptionTokens

PREFIX, PADDING = -1, -2  # segments of a packed row besides its options 0, 1, ...


_Row = tuple[list[int], list[int], list[int]]  # ids, positions, segments


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch of rows for a backbone, and how to find each option in them.

    Args:
        input_ids_BT, position_ids_BT: right-padded; positions count within each option's own sequence.
        segments_BT: 0, 1, ... for an option's own tokens, PREFIX for shared ones, PADDING.
        places: for each question, each option's place.
        packed: whether options share rows, so that a tree mask is needed.
        shared: tokens from the start of the rows that are prefix in every one of them; 0 where none are packed.
    """

    input_ids_BT: torch.Tensor
    position_ids_BT: torch.Tensor
    segments_BT: torch.Tensor
    places: list[list[Place]]
    packed: bool
    shared: int = 0


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
    return _pad(rows, places, pad_token_id, shared=min(options[0].shared for options in places))


def per_option(questions: Sequence[OptionTokens], pad_token_id: int) -> Rows:
    """One row an option: the reference, the fallback, and the layout for bidirectional encoders."""
    rows: list[_Row] = []
    places = []
    for tokens in questions:
        places.append([Place(len(rows) + i, 0, 0, len(s)) for i, s in enumerate(tokens.sequences)])
        rows += [(s, list(range(len(s))), [0] * len(s)) for s in tokens.sequences]
    return _pad(rows, places, pad_token_id)


LAYOUTS: dict[str, Callable[[Sequence[OptionTokens], int], Rows]] = {
    "shared_prefix": shared_prefix,
    "per_option": per_option,
}


def row_shape(layout: str, tokens: OptionTokens) -> tuple[int, int]:
    """Rows and longest row of one question alone, to plan batches by."""
    if layout == "per_option":
        return len(tokens.sequences), max(map(len, tokens.sequences))
    shared = tokens.prefix_length
    return 1, shared + sum(len(sequence) - shared for sequence in tokens.sequences)


def pad_rows(rows: Sequence[Sequence[int]], filler: int) -> torch.Tensor:
    """Rows of numbers, filled up on the right: [B, T]."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows])


def _pad(rows: Sequence[_Row], places: list[list[Place]], pad_token_id: int, *, shared: int | None = None) -> Rows:
    ids, positions, segments = zip(*rows, strict=True)
    return Rows(
        pad_rows(ids, pad_token_id),
        pad_rows(positions, 0),
        pad_rows(segments, PADDING),
        places,
        packed=shared is not None,
        shared=shared or 0,
    )
