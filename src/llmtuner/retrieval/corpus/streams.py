"""Reads text files in parts, compressed or not: as numbered lines."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any, BinaryIO

from llmtuner.data.charset import conversion
from llmtuner.data.sniff import WrongType, check_text_start, file_status, split_suffix
from llmtuner.errors import DataError
from llmtuner.retrieval.corpus.rows import CorpusFile

_PART = 2**20  # bytes read at once
_LONGEST = 2**30  # bytes of a line: a few kilobytes can expand to more than the memory holds


def numbered_lines(file: CorpusFile) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 text without their "\\n", numbered from 1. U+2028 and the like do not end a line.

    Raises:
        DataError: not readable, damaged, of another type than its name says, or not UTF-8.
    """
    for number, line in enumerate(_byte_lines(file), start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise _not_utf8(file, line, number, error) from error
        yield number, text


def _byte_lines(file: CorpusFile) -> Iterator[bytes]:
    rest: list[bytes] = []
    size = 0
    for part in _parts(file):
        first, *lines = part.split(b"\n")
        rest.append(first)
        size += len(first)
        if size > _LONGEST:
            raise DataError(f"{file.shown}: a line is longer than {_LONGEST / 2**30:g} GiB; write a text on each line")
        if lines:
            yield b"".join(rest)
            yield from lines[:-1]
            rest, size = [lines[-1]], len(lines[-1])
    if size:
        yield b"".join(rest)


def _parts(file: CorpusFile) -> Iterator[bytes]:
    """The expanded content in parts, the first of which was checked."""
    file_status(file.path)
    suffix, compression = split_suffix(file.path)
    try:
        with file.path.open("rb") as stored, closing(_expanded(stored, compression)) as stream:
            size = os.fstat(stored.fileno()).st_size or 1
            part = stream.read(_PART)
            check_text_start(part, suffix, file.path)
            while part:
                file.position.share = min(1.0, stored.tell() / size)
                yield part
                part = stream.read(_PART)
    except WrongType as error:
        renamed = f"; rename it to {error.suffixes[0]}" if error.suffixes else ""
        raise DataError(f"{error}{renamed}") from error
    except DataError:  # it is a ValueError
        raise
    except (OSError, EOFError, zlib.error, ValueError) as error:
        if not compression or isinstance(error, PermissionError):
            raise DataError(f"{file.shown}: cannot be read: {error}; check its permissions") from error
        raise DataError(f"{file.shown}: the archive is cut or damaged ({error}); download it again") from error


def _expanded(stored: BinaryIO, compression: str) -> Any:
    if compression == ".gz":
        return gzip.GzipFile(fileobj=stored, mode="rb")
    if compression == ".zst":
        import pyarrow as pa  # it brings the decoder; Python's own comes with 3.14

        return pa.CompressedInputStream(pa.PythonFile(stored, "r"), "zstd")
    return stored


def _not_utf8(file: CorpusFile, line: bytes, number: int, error: UnicodeDecodeError) -> DataError:
    compression = split_suffix(file.path)[1]
    name = file.path.name.removesuffix(file.path.suffix) if compression else file.path.name
    unpack = "unpack it; " if compression else ""
    return DataError(
        f"{file.shown}:{number}: is not UTF-8 at byte {error.start} of the line (0x{line[error.start]:02x}), expected "
        f"UTF-8; {unpack}{conversion(line, name)}"
    )
