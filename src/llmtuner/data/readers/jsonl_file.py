"""JSON Lines: one object on each line."""

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
    """Read a JSONL file; empty lines are skipped.

    Raises:
        DataError: the file is not UTF-8, or is one JSON value over the whole file.
    """
    return parse(read_text(path), terminal_path(path))


def parse(text: str, file: str) -> Table:
    """The same for a text.

    Args:
        file: its name for messages.
    """
    _check_not_one_value(text, file)
    records: list[NumberedRecord] = []
    problems: list[Problem] = []
    # Not splitlines(): JSON strings may contain U+2028 and similar characters.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        value, problem = parse_value(line, file, number)
        record = problem or checked_object(value, file, number)
        if isinstance(record, Problem):
            problems.append(record)
        else:
            records.append((number, record))
    return Table(column_names(records), records, problems, warnings=lost_backslashes(records, text, file))


def _check_not_one_value(text: str, file: str) -> None:
    """Reject a file that is one JSON value, on one line or several: read line by line, each of its lines is broken."""
    start = text.lstrip()
    first_line = start.split("\n", 1)[0]
    if not start.startswith("[") and (not start.startswith("{") or first_line.rstrip().endswith("}")):
        return
    value, _ = parse_value(text, file)
    is_array = isinstance(value, list) and any(isinstance(item, dict) for item in value)
    if not is_array and not isinstance(value, dict):
        if first_line.strip() == "{":
            raise DataError(f"{file}: its objects span several lines, expected each on a line; convert it: jq -c .")
        return
    kind = "array" if is_array else "object over several lines"
    try:
        rows_in(value, file)
    except DataError:
        raise DataError(
            f"{file}: is one JSON {kind}, expected an object on each line; write each on its line"
        ) from None
    raise DataError(f"{file}: is one JSON {kind}, expected an object on each line; rename it to .json")
