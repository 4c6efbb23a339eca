"""JSON: one array of objects."""

from __future__ import annotations

from pathlib import Path

from llmtuner.data.problems import Problem, terminal_path
from llmtuner.data.readers.json_objects import KINDS, checked_object, parse
from llmtuner.data.sniff import read_text
from llmtuner.data.table import NumberedRecord, Table, column_names
from llmtuner.errors import DataError


def read(path: Path) -> Table:
    """Read a JSON file. The "line" of a record is its 1-based number in the array.

    Raises:
        DataError: the file is not UTF-8, not JSON, or not an array.
    """
    file = terminal_path(path)
    rows, problem = parse(read_text(path), file)
    if problem is not None:
        hint = "; if each line is an object, rename it to .jsonl" if "Extra data" in problem.what else ""
        raise DataError(f"{problem}{hint}")
    if not isinstance(rows, list):
        fix = "store the array alone" if isinstance(rows, dict) else "write the rows as an array"
        kind = KINDS.get(type(rows), "a number")
        raise DataError(f"{file}: expected an array of objects [{{...}}, ...], found {kind}; {fix}")
    records: list[NumberedRecord] = []
    problems: list[Problem] = []
    for number, row in enumerate(rows, start=1):
        record = checked_object(row, file, number)
        if isinstance(record, Problem):
            problems.append(record)
        else:
            records.append((number, record))
    return Table(column_names(records), records, problems, unit="row")
