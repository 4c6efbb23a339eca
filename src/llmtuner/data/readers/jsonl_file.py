"""JSON Lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llmtuner.data.problems import Problem, shown
from llmtuner.data.readers.table import Record, Table
from llmtuner.data.sniff import read_text


def read(path: Path) -> Table:
    """Read a JSONL file; empty lines are skipped.

    Raises:
        DataError: it is no UTF-8 text.
    """
    file = str(path)
    records: list[Record] = []
    problems: list[Problem] = []
    # Not splitlines(): JSON allows U+2028 and its like inside a string.
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            record = json.loads(text, object_pairs_hook=unique_keys)
        except json.JSONDecodeError as error:
            problems.append(Problem(file, line, f"not JSON at column {error.colno}: {error.msg}"))
            continue
        except ValueError as error:
            problems.append(Problem(file, line, str(error)))
            continue
        if isinstance(record, dict):
            records.append((line, record))
        else:
            problems.append(Problem(file, line, f"expected an object {{...}}, found {shown(record)}"))
    return Table(column_names(records), records, problems)


def column_names(records: Iterable[Record]) -> tuple[str, ...]:
    """The keys of all records in the order of their first occurrence."""
    return tuple(dict.fromkeys(key for _, record in records for key in record))


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, which must not name a key twice.

    Raises:
        ValueError: it does; Python's own reader would keep the last one silently.
    """
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [key for key, _ in pairs]
        raise ValueError(f"key {shown(next(n for n in names if names.count(n) > 1))} occurs twice")
    return record
