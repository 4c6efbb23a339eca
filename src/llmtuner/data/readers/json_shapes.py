"""The usual ways to store a table in one JSON value: an array of objects, an object of columns, a wrapped array."""

from __future__ import annotations

from typing import Any

from llmtuner.data.problems import Problem, quoted
from llmtuner.data.readers.json_objects import KINDS, Incomplete, RepeatedKeys, complete_or_not
from llmtuner.errors import DataError

_EXPECTED = "expected an array of objects [{...}, ...]"
_LISTED = 6  # keys in a message


def rows_in(value: Any, file: str) -> tuple[list[Any], list[Problem]]:
    """The rows of a JSON value, and warnings about what beside them is not read.

    Read are `[{...}, ...]`; one such array in an object, `{"data": [{...}, ...]}`; the pages of the data set server of
    Hugging Face, `{"rows": [{"row": {...}}, ...]}`; and what pandas' to_json writes: `{"prompt": {"0": ...}}` (its
    default),
    `{"0": {"prompt": ...}}` (index) and `{"columns": [...], "data": [[...], ...]}` (split), besides lists for columns.

    Raises:
        DataError: the value holds no table, or more than one.
    """
    if isinstance(value, list):
        return value, []
    if not isinstance(value, dict):
        kind = KINDS.get(type(value), "a number")
        raise DataError(f"{file}: {_EXPECTED}, found {kind}; write the rows as an array")
    if isinstance(value, RepeatedKeys):
        raise DataError(f"{file}: key {', '.join(map(quoted, value.names))} occurs twice; remove one of them")
    tables = [key for key, item in value.items() if _is_array_of_objects(item)]
    if "rows" in tables and "num_rows_total" in value:  # its `features` describe the columns
        value, tables = {key: item for key, item in value.items() if key != "features"}, ["rows"]
    if len(tables) > 1 and len(tables) == sum(isinstance(item, list) for item in value.values()):
        raise DataError(
            f"{file}: holds several tables, {', '.join(map(quoted, tables[:_LISTED]))}; store each in its own file"
        )
    if len(tables) == 1 and not any(isinstance(item, list) for key, item in value.items() if key != tables[0]):
        return _wrapped(value, tables[0], file)
    rows = _split(value)
    rows = _columns(value, file) if rows is None else rows
    if rows is None:
        raise DataError(_no_table(value, file))
    return ([complete_or_not(row) for row in rows] if isinstance(value, Incomplete) else rows), []


def _is_array_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _wrapped(value: dict[str, Any], key: str, file: str) -> tuple[list[Any], list[Problem]]:
    """The array under one key of an object."""
    rows, others = value[key], [name for name in value if name != key]
    unread = f"; {', '.join(map(quoted, others[:_LISTED]))} is not read" if others else ""
    if not all(isinstance(row.get("row"), dict) and "row_idx" in row for row in rows):
        return rows, [Problem(file, 0, f"the rows are those of the key {quoted(key)}{unread}", kind="wrapped")]
    cut = [number for number, row in enumerate(rows, start=1) if row.get("truncated_cells")]
    if cut:
        raise DataError(
            f"{file}:{cut[0]}: the data set server cut off cells of {len(cut)} rows; download the data set's files"
        )
    total = value.get("num_rows_total")
    known = f" of {total:,}" if type(total) is int and total != len(rows) else ""
    note = f"a page of the data set server: {len(rows):,} rows{known}"
    return [row["row"] for row in rows], [Problem(file, 0, note, kind="wrapped")]


def _split(value: dict[str, Any]) -> list[Any] | None:
    """The rows of {"columns": [...], "data": [[...], ...]}, or None."""
    names, data = value.get("columns"), value.get("data")
    if not (isinstance(names, list) and isinstance(data, list) and set(value) <= {"columns", "data", "index"}):
        return None
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        return None
    if not all(isinstance(cells, list) and len(cells) == len(names) for cells in data):
        return None
    return [dict(zip(names, cells, strict=True)) for cells in data]


def _columns(value: dict[str, Any], file: str) -> list[Any] | None:
    """The rows of an object of columns, or of an object of numbered rows; None if it is neither."""
    items = list(value.values())
    if items and all(isinstance(item, list) for item in items):
        if len({len(item) for item in items}) > 1:
            lengths = ", ".join(f"{quoted(key)} {len(item):,}" for key, item in list(value.items())[:_LISTED])
            raise DataError(f"{file}: an object of columns that have different numbers of rows: {lengths}")
        return [dict(zip(value, cells, strict=True)) for cells in zip(*items, strict=True)]
    if not items or not all(isinstance(item, dict) and item for item in items):
        return None
    outer_numbered, inner_numbered = _are_numbers(value), all(_are_numbers(item) for item in items)
    if outer_numbered and not inner_numbered:
        counted = list(value) == [str(number) for number in range(len(value))]
        return items if counted or any("id" in item for item in items) else _with_ids(value)
    if not inner_numbered or outer_numbered or any(item.keys() != items[0].keys() for item in items):
        return None
    return [{name: column[row] for name, column in value.items()} for row in items[0]]


def _with_ids(value: dict[str, Any]) -> list[Any]:
    """The rows of an object, each with its key as id: these are not mere row numbers."""
    return [{"id": key, **item} if type(item) is dict else item for key, item in value.items()]


def _are_numbers(keys: dict[str, Any]) -> bool:
    """Whether all keys are the row numbers that pandas writes."""
    return all(key.isascii() and key.isdigit() for key in keys)


def _no_table(value: dict[str, Any], file: str) -> str:
    keys = ", ".join(map(quoted, list(value)[:_LISTED])) + (", ..." if len(value) > _LISTED else "")
    lists = [key for key, item in value.items() if isinstance(item, list)]
    if lists and len(lists) < len(value) and len({len(value[key]) for key in lists}) == 1 and len(lists) > 1:
        fix = "write an object for each question"
    elif lists or not value:
        fix = "if it is one question, write [ ] around it; else store the array alone"
    else:
        fix = "write the rows as an array; if it is one question, write [ ] around it"
    return f"{file}: {_EXPECTED}, found an object with the keys {keys or '(none)'}; {fix}"
