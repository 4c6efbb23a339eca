"""Files that are whole or absent, and digests of contents. Standard library only: every room may import it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


def write_atomic(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write a file that no reader ever sees in part: an interrupted run leaves the earlier file, or none.

    Args:
        content: bytes, or text that is written as UTF-8 with its own line ends, the same on every system.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written; nothing is left beside it.
    """
    with open_atomic(path) as file:
        file.write(_encoded(content))
    return Path(path)


@contextmanager
def open_atomic(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends, and vanishes when the block raises.

    The content goes to a temporary name in the same folder, is forced to the disk, and is renamed then.

    Raises:
        OSError: the file cannot be written; nothing is left beside it.
    """
    target = Path(path)
    # The suffix is not the target's: a search for "*.json" must not meet it. The token tells threads apart.
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            yield file
            _force_to_disk(file)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_synced(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write in place and force to the disk: for a file of a new folder that is renamed as a whole.

    Args:
        content: as in `write_atomic`.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written; a part of it may be there.
    """
    with open(path, "wb") as file:
        file.write(_encoded(content))
        _force_to_disk(file)
    return Path(path)


def sha256_of_bytes(content: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content as 64 hexadecimal digits; the file may be larger than the memory.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_json(value: Any) -> str:
    """SHA-256 of a value's JSON as 64 hexadecimal digits; the order of keys does not count, a tuple is a list.

    Raises:
        TypeError: JSON cannot hold the value.
    """
    return sha256_of_bytes(json.dumps(value, sort_keys=True).encode())


def _encoded(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _force_to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
