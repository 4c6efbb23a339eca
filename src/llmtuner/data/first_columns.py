"""The columns of a file by its first row: enough to tell questions from other data, without reading the whole file."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

_LOOKED_AT = 1 << 20  # bytes; a first row is shorter


def first_columns(path: Path) -> tuple[str, ...]:
    """The columns of a CSV, JSONL, JSON or Parquet file.

    Returns:
        () for another type, and for a file whose first row cannot be read: whoever reads it will say why.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return tuple(pq.read_schema(path).names)
        except (pa.ArrowException, OSError, ValueError):
            return ()
    if suffix not in (".csv", ".jsonl", ".json"):
        return ()
    with path.open("rb") as file:
        text = file.read(_LOOKED_AT).decode("utf-8-sig", errors="replace").lstrip()
    if suffix == ".csv":
        try:
            return tuple(next(csv.reader(io.StringIO(text, newline="")), ()))
        except csv.Error:
            return ()
    try:
        record, _ = json.JSONDecoder().raw_decode(text.removeprefix("[").lstrip())
    except (ValueError, RecursionError):
        return ()
    return tuple(record) if isinstance(record, dict) else ()
