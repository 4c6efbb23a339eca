"""Arrow files, as the library `datasets` saves them (a stream of batches) and as Feather 2 (a file with an index)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmtuner.data.problems import terminal_path
from llmtuner.data.readers.arrow_rows import damage, table_of
from llmtuner.data.sniff import WrongType, file_status, read_bytes
from llmtuner.data.table import Table
from llmtuner.errors import DataError

_FILE, _STREAM = b"ARROW1", b"\xff\xff\xff\xff"


def read(path: Path) -> Table:
    """Read an Arrow file, mapped into memory. The "line" of a record is its 1-based row number.

    Raises:
        DataError: the file is cut or damaged, or has a column twice.
    """
    name = terminal_path(path)
    start = _start(path)
    if not start.startswith((_FILE, _STREAM)):
        read_bytes(path, magic=(_FILE, _STREAM), suffix=".arrow")  # says what it is instead
        raise WrongType(f"{name}: is not Arrow: its first bytes are wrong", ())
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            opened = pa.ipc.open_file(source) if start.startswith(_FILE) else pa.ipc.open_stream(source)
            table = opened.read_all()
            # Damaged offsets lead out of the mapped memory, which would end the process.
            table.validate(full=True)
            if start.startswith(_STREAM):
                check_end(path, name)

            def rows(columns: list[str]) -> list[dict[str, Any]]:
                records: list[dict[str, Any]] = table.select(columns).to_pylist()
                return records

            return table_of(table.schema, rows, table.num_rows, name)
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise damage(error, name) from error


def _start(path: Path) -> bytes:
    file_status(path)
    try:
        with path.open("rb") as file:
            return file.read(len(_FILE))
    except OSError as error:
        raise DataError(f"{terminal_path(path)}: cannot be read: {error.strerror}; check its permissions") from error


def check_end(path: Path, name: str) -> None:
    """A stream ends with a mark. Cut between two batches, it would only have fewer rows."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 8, 0))
        if file.read() != _STREAM + b"\0\0\0\0":
            raise DataError(f"{name}: is cut: the mark of its end is missing; download it again")
