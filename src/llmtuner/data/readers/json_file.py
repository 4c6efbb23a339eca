"""JSON: one array of objects."""

from __future__ import annotations

import json
from pathlib import Path

from llmtuner.data.problems import Problem, shown
from llmtuner.data.readers.jsonl_file import column_names, unique_keys
from llmtuner.data.readers.table import Record, Table
from llmtuner.data.sniff import read_text
from llmtuner.errors import DataError


def read(path: Path) -> Table:
    """Read a JSON file; the "line" of a record is its number in the array, from 1.

    Raises:
        DataError: it is no UTF-8 text, no JSON, or no array.
    """
    try:
        rows = json.loads(read_text(path), object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON at column {error.colno}: {error.msg}") from error
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    if not isinstance(rows, list):
        kind = "an object" if isinstance(rows, dict) else shown(rows)
        raise DataError(f"{path}: expected an array of objects [{{...}}, ...], found {kind}")
    records: list[Record] = []
    problems: list[Problem] = []
    for number, row in enumerate(rows, start=1):
        if isinstance(row, dict):
            records.append((number, row))
        else:
            problems.append(Problem(str(path), number, f"expected an object {{...}}, found {shown(row)}"))
    return Table(column_names(records), records, problems)
