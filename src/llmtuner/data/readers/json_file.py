"""JSON: one array of objects."""

from __future__ import annotations

from pathlib import Path

from llmtuner.data.problems import Problem, terminal_path
from llmtuner.data.readers.json_objects import KINDS, as_record, parse
from llmtuner.data.sniff import read_text
from llmtuner.data.table import Record, Table, column_names
from llmtuner.errors import DataError


def read(path: Path) -> Table:
    """Read a JSON file; the "line" of a record is its number in the array, from 1.

    Raises:
        DataError: it is no UTF-8 text, no JSON, or no array.
    """
    file = terminal_path(path)
    rows, problem = parse(read_text(path), file)
    if problem is not None:
        hint = "; if it has one object a line, rename it to .jsonl" if "Extra data" in problem.what else ""
        raise DataError(f"{problem}{hint}")
    if not isinstance(rows, list):
        fix = "take the array out of the object" if isinstance(rows, dict) else "write the rows as an array"
        found = KINDS.get(type(rows), "a number")
        raise DataError(f"{file}: expected an array of objects [{{...}}, ...], found {found}; {fix}")
    records: list[Record] = []
    problems: list[Problem] = []
    for number, row in enumerate(rows, start=1):
        record = as_record(row, file, number)
        if isinstance(record, Problem):
            problems.append(record)
        else:
            records.append((number, record))
    return Table(column_names(records), records, problems, unit="row")
