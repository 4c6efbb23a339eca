"""Atomic file writes, and digests of contents. Standard library only: every room may import it."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"  # of an output folder, which `runs/lock.py` holds; it stays when the run ends
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk is full, or the file larger than it may be
TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{8}")  # the names of temporary files and folders
_YOUNG = 60  # seconds: a folder may just have been made, and not be locked yet


def split_paths(text: str) -> list[str]:
    """The parts of a comma-separated list of folders; a folder that exists as written wins over its parts.

    So a folder whose name has a comma can be named. Blanks around a part are dropped, and so are empty parts.

        >>> split_paths("sft_checkpoint, mcq_checkpoint")
        ['sft_checkpoint', 'mcq_checkpoint']
    """
    parts = text.split(",")
    folders: list[str] = []
    start = 0
    while start < len(parts):
        ends = range(len(parts), start, -1)
        end = next((end for end in ends if is_folder(",".join(parts[start:end]).strip())), start + 1)
        folders.append(",".join(parts[start:end]).strip())
        start = end
    return [part for part in folders if part]


def is_folder(name: str) -> bool:
    """Whether a name is a folder's; False also for names that no folder can have, and for ""."""
    try:
        return bool(name) and Path(name).is_dir()
    except (OSError, ValueError):
        return False


def write_atomic(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write a file atomically: an interrupted run leaves the earlier file, or none.

    Args:
        content: bytes, or text that is written as UTF-8 with unchanged line ends, the same on every system.

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
    """A binary file that replaces `path` when the block ends, and is deleted if the block raises.

    The content is written to a temporary file in the same folder, synced to disk, and then renamed.

    Raises:
        OSError: the file cannot be written; nothing is left beside it.
    """
    target = Path(path)
    temporary = _beside(target)
    try:
        with _naming(target), temporary.open("xb") as file:
            yield file
            _force_to_disk(file)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """An empty folder that gets the name `path` when the block ends, and is deleted if the block raises.

    What a killed process left of the same folder is deleted first.

    Args:
        path: the parent folder exists.
        overwrite: replace a folder that is not empty; without it, the last rename fails.

    Raises:
        OSError: the folder cannot be written.
        FileExistsError: another process has given its name to a folder that is not empty.
    """
    target = Path(path).resolve()  # "." has no name, and a link stays a link
    _remove_abandoned(target)
    temporary = _beside(target)
    replaced = temporary.with_name(f"{temporary.name}-replaced")  # may be the only whole one, so it is never cleaned up
    temporary.mkdir()
    held = _lock(temporary)
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("r+b") as written:
                    os.fsync(written.fileno())
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()  # Windows does not rename onto a folder
        elif overwrite and target.is_dir():
            os.replace(target, replaced)
        try:
            os.replace(temporary, target)
        except OSError as error:
            if not target.exists():
                raise
            raise FileExistsError(f"{path}: another process has made it meanwhile; choose another folder") from error
        sync_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if replaced.exists() and not target.exists():
            os.replace(replaced, target)
        shutil.rmtree(replaced, ignore_errors=True)
        if held is not None:
            os.close(held)


def _remove_abandoned(target: Path) -> None:
    """Delete the temporary folders of killed processes for the same target."""
    for path in temporary_folders(target):
        if time.time() - path.stat().st_mtime > _YOUNG:
            held = _lock(path)
            if held is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(held)


def temporary_folders(target: Path) -> list[Path]:
    """The temporary folders for a target: not those for another one whose name begins with the target's."""
    return [
        path
        for path in target.parent.glob(f".{glob.escape(target.name)}.*")
        if TEMPORARY.fullmatch(path.name) and path.name.rpartition(".")[0] == f".{target.name}" and path.is_dir()
    ]


def _lock(folder: Path) -> int | None:
    """Lock a folder until the returned descriptor is closed or the process ends; None if it cannot be locked."""
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process holds it, or the file system has no locks
        os.close(descriptor)
        return None
    return descriptor


def remove_leftovers(folder: str | os.PathLike[str]) -> list[Path]:
    """Delete the temporary files of `open_atomic` that a killed process left; nobody may write to the folder now.

    Returns:
        what was deleted
    """
    leftovers = [path for path in Path(folder).iterdir() if TEMPORARY.fullmatch(path.name) and path.is_file()]
    for path in leftovers:
        path.unlink()
    return leftovers


def write_synced(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write in place and sync to disk: for a file in a new folder that is renamed as a whole.

    Args:
        content: as in `write_atomic`.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written; a part of it may remain.
    """
    with _naming(path), open(path, "wb") as file:
        file.write(_encoded(content))
        _force_to_disk(file)
    return Path(path)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Force a folder's list of names to disk, after renames; Windows has no such call, and needs none.

    Raises:
        OSError: the folder cannot be opened.
    """
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of_bytes(content: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content as 64 hexadecimal digits; the file may be larger than memory.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_unchanged(path: str | os.PathLike[str]) -> str:
    """As `sha256_of_file`, but read once in a process as long as the file's size, times and inode stay the same.

    Raises:
        OSError: the file cannot be read.
    """
    status = os.stat(path)
    return _known_sha256(os.path.abspath(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@lru_cache(maxsize=256)
def _known_sha256(path: str, *_state: int) -> str:
    return sha256_of_file(path)


def sha256_of_json(value: Any) -> str:
    """SHA-256 of a value's JSON as 64 hexadecimal digits; key order does not matter, and tuples equal lists.

    Raises:
        TypeError: JSON cannot hold the value.
    """
    return sha256_of_bytes(json.dumps(value, sort_keys=True).encode())


def _beside(target: Path) -> Path:
    """A new temporary name in the same folder, with another suffix: a search for "*.json" must not find it."""
    return target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}")


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file if the disk is full: the system's error says only that there is no space, not for which file."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL and error.filename is None:
            error.filename = os.fspath(path)
        raise


def _encoded(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _force_to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def as_os_error(folder: Path) -> Iterator[None]:
    """Save a model and its tokenizer in this context.

    Raises:
        OSError: safetensors or tokenizers cannot write, for example because the disk is full.
    """
    try:
        yield
    except Exception as error:
        if type(error) is not Exception and type(error).__name__ != "SafetensorError":  # tokenizers raises a plain one
            raise
        raise OSError(f"{folder}: the model cannot be written: {error}") from error
