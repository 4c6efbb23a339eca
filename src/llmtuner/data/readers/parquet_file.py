"""Parquet, through pyarrow; only the columns that some form knows are read."""

from __future__ import annotations

from pathlib import Path

from llmtuner.data.readers.table import Table
from llmtuner.data.sniff import read_bytes
from llmtuner.errors import DataError


def read(path: Path) -> Table:
    """Read a Parquet file; the "line" of a record is its row number, from 1.

    Raises:
        DataError: it is truncated or damaged.
    """
    content = read_bytes(path, magic=b"PAR1")
    import pyarrow as pa
    import pyarrow.parquet as pq

    from llmtuner.data.forms import KNOWN_COLUMNS

    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        schema = file.schema_arrow
        used = [name for name in schema.names if name in KNOWN_COLUMNS]
        rows = file.read(columns=used).to_pylist()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split("\n")[0][:150]
        raise DataError(f"{path}: is truncated or damaged ({reason}); download it again") from error
    types = {name: _type_name(schema.field(name).type) for name in used}
    return Table(tuple(schema.names), list(enumerate(rows, start=1)), types=types)


def _type_name(arrow_type: object) -> str:
    """Arrow's type in the words of the forms: text, texts, whole number, or its own name."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(arrow_type):
        return _type_name(arrow_type.value_type)  # type: ignore[attr-defined]
    if types.is_string(arrow_type) or types.is_large_string(arrow_type):
        return "text"
    if types.is_integer(arrow_type):
        return "whole number"
    if types.is_list(arrow_type) or types.is_large_list(arrow_type):
        inner = _type_name(arrow_type.value_type)  # type: ignore[attr-defined]
        return "texts" if inner in ("text", "null") else f"list of {inner}"
    return str(arrow_type)
