"""JSON Lines: one object a line."""

from __future__ import annotations

from pathlib import Path

from llmtuner.data.problems import Problem, terminal_path
from llmtuner.data.readers.json_objects import as_record, parse
from llmtuner.data.sniff import read_text
from llmtuner.data.table import Record, Table, column_names
from llmtuner.errors import DataError


def read(path: Path) -> Table:
    """Read a JSONL file; empty lines are skipped.

    Raises:
        DataError: it is no UTF-8 text, or one JSON array.
    """
    file = terminal_path(path)
    text = read_text(path)
    if text.lstrip().startswith("[") and _is_array(text, file):
        raise DataError(f"{file}: is one JSON array, expected an object a line; rename it to .json")
    records: list[Record] = []
    problems: list[Problem] = []
    # Not splitlines(): JSON allows U+2028 and its like inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        value, problem = parse(line, file, number)
        record = problem or as_record(value, file, number)
        if isinstance(record, Problem):
            problems.append(record)
        else:
            records.append((number, record))
    return Table(column_names(records), records, problems)


def _is_array(text: str, file: str) -> bool:
    """Whether the file as a whole is an array of objects, on one line or on many."""
    value, _ = parse(text, file)
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)
