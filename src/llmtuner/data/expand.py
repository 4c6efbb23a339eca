"""The content of compressed files, with a limit: a few kilobytes can expand to more than the memory holds."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from llmtuner.data.problems import terminal_path
from llmtuner.errors import DataError

LIMIT = 4 * 2**30  # bytes
COMPRESSIONS = (".gz", ".zst")
_CHUNK = 2**20


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def expanded(content: bytes, compression: str, path: Path) -> bytes:
    """The expanded content of a compressed file.

    Args:
        compression: ".gz" or ".zst".
        path: for messages.

    Raises:
        DataError: the archive is damaged or cut, or its content is larger than `LIMIT`.
    """
    damaged: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, ValueError)
    parts, size = [], 0
    try:
        stream = _OPENERS[compression](content)
        while part := stream.read(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > LIMIT:
                raise DataError(
                    f"{terminal_path(path)}: expands to more than {LIMIT / 2**30:g} GiB; split it into smaller files"
                )
    except DataError:  # it is a ValueError
        raise
    except damaged as error:
        raise DataError(f"{terminal_path(path)}: the archive is cut or damaged ({error}); download it again") from error
    return b"".join(parts)


def _gzip(content: bytes) -> _Readable:
    return gzip.GzipFile(fileobj=io.BytesIO(content))


def _zstd(content: bytes) -> _Readable:
    import pyarrow as pa  # it brings the decoder; Python's own comes with 3.14

    stream: _Readable = pa.CompressedInputStream(pa.BufferReader(content), "zstd")
    return stream


_OPENERS: dict[str, Callable[[bytes], _Readable]] = {".gz": _gzip, ".zst": _zstd}
