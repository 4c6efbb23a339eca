"""What a layout is: rows of tokens made from questions, and where each option is in them.

Two layouts of the same text give every option the same tokens at the same positions, seeing the same tokens, so both
compute the same states; packed rows compute the prefix only once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from llmtuner.spec.poolings import POOLINGS

PREFIX, PADDING = -1, -2  # segments of a packed row besides its options 0, 1, ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where one option's tokens are: the first `shared` at the start of the row, the rest from `begin` on."""

    row: int
    begin: int
    shared: int
    length: int

    def index(self, token: int) -> int:
        """The index in the row of a token of the option's own sequence.

        Raises:
            IndexError: the sequence has no such token; that index of the row may belong to another option.
        """
        if not 0 <= token < self.length:
            raise IndexError(f"token {token} of a sequence of {self.length}")
        return token if token < self.shared else self.begin + token - self.shared


@dataclass(frozen=True, slots=True)
class Row:
    """One row for a backbone, without padding.

    Args:
        ids: token ids.
        positions: they count within each option's own sequence.
        segments: 0, 1, ... for an option's own tokens, PREFIX for shared ones.
    """

    ids: list[int]
    positions: list[int]
    segments: list[int]


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch of rows, and how to find each option in them.

    Args:
        rows: the rows.
        places: for each question, each option's place; one place if a single vector stands for all options.
        shared: how many tokens at the start of the rows are prefix in every row.
    """

    rows: list[Row]
    places: list[list[Place]]
    shared: int = 0


def poolings_of(text: str) -> tuple[str, ...]:
    """The poolings for layouts of this text."""
    return tuple(name for name, pooling in POOLINGS.items() if text in pooling.texts)


class Layout(ABC):
    """A way to lay out the options of a question in rows.

    Class attributes:
        poolings: names of the poolings that it takes.
        kinds: the kinds of models that can read it.
        text: "option" for one sequence per option, "joint" for one prompt that lists all of them.
        packed: whether options share rows, so that a tree mask is needed.
        pads_left: whether rows are padded on the left, so that their last tokens line up.
        why_not: why the other kind cannot read it.
    """

    poolings: ClassVar[tuple[str, ...]]
    kinds: ClassVar[tuple[str, ...]]
    text: ClassVar[str]
    packed: ClassVar[bool] = False
    pads_left: ClassVar[bool] = False
    why_not: ClassVar[str] = ""

    @staticmethod
    @abstractmethod
    def rows(questions: Sequence[Any]) -> Rows:
        """The rows of questions."""

    @staticmethod
    @abstractmethod
    def shape(tokens: Any) -> tuple[int, int]:
        """Number of rows and longest row of a single question, for planning batches."""
