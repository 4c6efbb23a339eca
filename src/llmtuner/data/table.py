"""The records of a file: the common result of all readers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from llmtuner.data.problems import Problem, quoted

NOT_LOADED = "not loaded"  # the type of a column that holds neither texts nor numbers, such as images
NumberedRecord = tuple[int, dict[str, Any]]  # its line number, and its values by column


@dataclass(frozen=True, slots=True)
class Table:
    """The records of a file with the lines on which they begin.

    Args:
        columns: names in the file's order; for JSON objects, in the order of their first occurrence.
        problems: the defects for which the file is rejected.
        types: for typed files, the type of each column: (the forms' name, the file's name). Columns whose type is
            `NOT_LOADED` are in no record.
        header: the line of the column names, 0 if the file has no such line.
        unit: the unit of the numbers in `records`, "line" or "row".
        text_only: whether cells hold only text, so that a list of options cannot be stored.
        warnings: oddities of the file that do not stop its reading.
    """

    columns: tuple[str, ...]
    records: list[NumberedRecord]
    problems: list[Problem] = field(default_factory=list)
    types: dict[str, tuple[str, str]] = field(default_factory=dict)
    header: int = 0
    unit: str = "line"
    text_only: bool = False
    warnings: list[Problem] = field(default_factory=list)


def column_names(records: list[NumberedRecord]) -> tuple[str, ...]:
    """The keys of all records in the order of their first occurrence."""
    return tuple(dict.fromkeys(key for _, record in records for key in record))


def rows_of_one_column(table: Table, file: str) -> Table:
    """A table whose only column holds objects as the table of these objects: MMLU's auxiliary_train is stored so."""
    if len(table.columns) != 1 or not table.records:
        return table
    [column] = table.columns
    records = [(number, value) for number, record in table.records if isinstance(value := record.get(column), dict)]
    if len(records) < len(table.records):
        return table
    note = Problem(file, 0, f"the rows are those of the column {quoted(column)}", kind="wrapped")
    warnings = [*table.warnings, note]
    return replace(table, columns=column_names(records), records=records, types={}, warnings=warnings)
