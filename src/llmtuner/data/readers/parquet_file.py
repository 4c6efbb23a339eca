"""Parquet, through pyarrow. Only the columns that a form uses are read."""

from __future__ import annotations

from pathlib import Path

from llmtuner.data.problems import quoted, terminal_path
from llmtuner.data.sniff import read_bytes
from llmtuner.data.table import Table
from llmtuner.errors import DataError


def read(path: Path) -> Table:
    """Read a Parquet file. The "line" of a record is its 1-based row number.

    Raises:
        DataError: the file is truncated or damaged, or has a column twice.
    """
    content = read_bytes(path, magic=b"PAR1")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        schema = file.schema_arrow
        used = list(schema.names)
        repeated = next((name for name in used if used.count(name) > 1), None)
        if repeated is not None:
            raise DataError(
                f"{terminal_path(path)}: column {quoted(repeated)} occurs twice; rename or remove one of them"
            )
        types = {name: (_type_name(schema.field(name).type), str(schema.field(name).type)) for name in used}
        # The form rejects columns of other types, so they are not loaded; they may be images.
        loaded = [name for name in used if types[name][0] in ("text", "texts", "whole number", "null")]
        rows = file.read(columns=loaded).to_pylist() if loaded else [{}] * file.metadata.num_rows
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        reason = quoted(str(error).split("\n")[0])
        raise DataError(f"{terminal_path(path)}: is truncated or damaged ({reason}); download it again") from error
    return Table(tuple(schema.names), list(enumerate(rows, start=1)), types=types, unit="row")


def _type_name(arrow_type: object) -> str:
    """An Arrow type by the forms' name for it (text, texts, whole number, null), else by its own name."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(arrow_type):
        return _type_name(arrow_type.value_type)  # type: ignore[attr-defined]
    if types.is_string(arrow_type) or types.is_large_string(arrow_type) or types.is_string_view(arrow_type):
        return "text"
    if types.is_integer(arrow_type):
        return "whole number"
    if types.is_list(arrow_type) or types.is_large_list(arrow_type) or types.is_fixed_size_list(arrow_type):
        inner = _type_name(arrow_type.value_type)  # type: ignore[attr-defined]
        return "texts" if inner in ("text", "null") else f"list of {inner}"
    return str(arrow_type)
