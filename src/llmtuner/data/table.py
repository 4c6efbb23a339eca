"""What every reader returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llmtuner.data.problems import Problem

Record = tuple[int, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """The records of a file with the lines where they begin.

    Args:
        columns: names in the file's order; of JSON objects, in the order in which they first occur.
        types: for typed files, the type of each column that some form knows: in the forms' words, and in the file's.
        header: the line of the column names, 0 where the file has no such line.
        unit: what the numbers in `records` count, "line" or "row".
        text_only: whether a cell can hold nothing but text, so that a list of options has no place.
    """

    columns: tuple[str, ...]
    records: list[Record]
    problems: list[Problem] = field(default_factory=list)
    types: dict[str, tuple[str, str]] = field(default_factory=dict)
    header: int = 0
    unit: str = "line"
    text_only: bool = False


def column_names(records: list[Record]) -> tuple[str, ...]:
    """The keys of all records in the order of their first occurrence."""
    return tuple(dict.fromkeys(key for _, record in records for key in record))
