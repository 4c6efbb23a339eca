"""JSON: an array of objects, or an object that holds one table in a usual way."""

from __future__ import annotations

from pathlib import Path

from llmtuner.data.problems import Problem, terminal_path
from llmtuner.data.readers.json_objects import checked_object, parse_value
from llmtuner.data.readers.json_shapes import rows_in
from llmtuner.data.readers.latex import lost_backslashes
from llmtuner.data.sniff import read_text
from llmtuner.data.table import NumberedRecord, Table, column_names
from llmtuner.errors import DataError


def read(path: Path) -> Table:
    """Read a JSON file. The "line" of a record is its 1-based number in the array.

    Raises:
        DataError: the file is not UTF-8, not JSON, or holds no table.
    """
    return parse(read_text(path), terminal_path(path))


def parse(text: str, file: str) -> Table:
    """The same for a text.

    Args:
        file: its name for messages.
    """
    value, problem = parse_value(text, file)
    if problem is not None:
        raise DataError(f"{problem}{_lines_hint(text, file) if 'Extra data' in problem.what else ''}")
    rows, warnings = rows_in(value, file)
    records: list[NumberedRecord] = []
    problems: list[Problem] = []
    for number, row in enumerate(rows, start=1):
        record = checked_object(row, file, number)
        if isinstance(record, Problem):
            problems.append(record)
        else:
            records.append((number, record))
    warnings += lost_backslashes(records, text, file)
    return Table(column_names(records), records, problems, unit="row", warnings=warnings)


def _lines_hint(text: str, file: str) -> str:
    """The advice for several values in one file, if it is right."""
    for number, line in enumerate(text.split("\n"), start=1):
        value, problem = parse_value(line, file, number) if line.strip() else ({}, None)
        if problem is not None or isinstance(checked_object(value, file, number), Problem):
            return "; write the rows as one array [{...}, ...]"
    return "; each line is an object: rename it to .jsonl"
