"""JSON Lines: one object on each line."""

from __future__ import annotations

from pathlib import Path

from llmtuner.data.problems import Problem, terminal_path
from llmtuner.data.readers.json_objects import checked_object, parse
from llmtuner.data.sniff import read_text
from llmtuner.data.table import NumberedRecord, Table, column_names
from llmtuner.errors import DataError


def read(path: Path) -> Table:
    """Read a JSONL file; empty lines are skipped.

    Raises:
        DataError: the file is not UTF-8, or is one JSON array.
    """
    file = terminal_path(path)
    text = read_text(path)
    if text.lstrip().startswith("[") and _is_array(text, file):
        raise DataError(f"{file}: is one JSON array, expected an object on each line; rename it to .json")
    records: list[NumberedRecord] = []
    problems: list[Problem] = []
    # Not splitlines(): JSON strings may contain U+2028 and similar characters.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        value, problem = parse(line, file, number)
        record = problem or checked_object(value, file, number)
        if isinstance(record, Problem):
            problems.append(record)
        else:
            records.append((number, record))
    return Table(column_names(records), records, problems)


def _is_array(text: str, file: str) -> bool:
    """Whether the whole file is an array of objects, on one line or several."""
    value, _ = parse(text, file)
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)
