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
        types: for typed files, the type of each column by name.
    """

    columns: tuple[str, ...]
    records: list[Record]
    problems: list[Problem] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)
