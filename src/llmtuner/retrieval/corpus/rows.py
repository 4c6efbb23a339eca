"""What the corpus readers work on: a file of the corpus, a row of it, and what is said after reading."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from llmtuner.data.problems import terminal_path


@dataclass(frozen=True, slots=True)
class TextColumns:
    """The columns that the user named behind a path; "" for those that have a usual name."""

    text: str = ""
    id: str = ""
    title: str = ""


@dataclass(slots=True)
class Position:
    """How far a file is read: the share of its bytes, as it is stored, or of its rows, from 0 to 1."""

    share: float = 0.0


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """A file of a corpus.

    Args:
        path: where it is.
        name: its path below the folder that was given, with "/"; made ids begin with it.
        columns: what the user named; only tables have columns.
        position: moved by the reader.
    """

    path: Path
    name: str
    columns: TextColumns = TextColumns()
    position: Position = field(default_factory=Position, compare=False)

    @property
    def shown(self) -> str:
        """The path for messages."""
        return terminal_path(self.path)


class Row(NamedTuple):
    """A text of a file.

    Args:
        line: where it begins, for messages; in Parquet and Arrow files, the number of the row from 1.
        id: the file's own id, or one made of its name.
    """

    line: int
    id: str
    title: str
    text: str


@dataclass(slots=True)
class CorpusNotes:
    """What was read, for the output; complete when all documents have been taken.

    Args:
        documents: with a text.
        blank: documents without a visible character, which were left out.
        renamed: documents whose id an earlier one had, so that they have another one.
        notices: what the user should know, a sentence each.
        share: how much of the corpus is read, in bytes of its files, from 0 to 1.
    """

    documents: int = 0
    blank: int = 0
    renamed: int = 0
    notices: list[str] = field(default_factory=list)
    share: float = 0.0
