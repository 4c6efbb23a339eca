"""Parquet, through pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmtuner.data.problems import terminal_path
from llmtuner.data.readers.arrow_rows import damage, table_of
from llmtuner.data.sniff import read_bytes
from llmtuner.data.table import Table
from llmtuner.errors import DataError


def read(path: Path) -> Table:
    """Read a Parquet file. The "line" of a record is its 1-based row number.

    Raises:
        DataError: the file is truncated or damaged, or has a column twice.
    """
    content, name = read_bytes(path, magic=(b"PAR1",), suffix=".parquet"), terminal_path(path)
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content))

        def rows(columns: list[str]) -> list[dict[str, Any]]:
            records: list[dict[str, Any]] = file.read(columns=columns).to_pylist()
            return records

        return table_of(file.schema_arrow, rows, file.metadata.num_rows, name)
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise damage(error, name) from error
