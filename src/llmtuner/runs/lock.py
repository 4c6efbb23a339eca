"""One run an output folder: an advisory lock on `.lock`, held for the whole run."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from llmtuner.errors import UserError
from llmtuner.files import LOCK

try:
    import fcntl
except ImportError:  # Windows: the time stamp below is used
    fcntl = None  # type: ignore[assignment]

__all__ = ["LOCK", "check_lock", "locked", "was_training"]
_TOUCH_SECONDS, _STALE_SECONDS = 30, 300  # where the file system has no locks


class _Name(NamedTuple):
    """How a message names the folder."""

    flag: str
    folder: Path


def check_lock(output_dir: Path, *, flag: str = "--output_dir") -> None:
    """Refuse a folder that another run writes to; nothing is created.

    Raises:
        UserError: another run holds the lock; it is named by process and host.
    """
    path = output_dir / LOCK
    if not path.is_file():
        return
    with path.open("rb") as file:
        _take(file, path, _Name(flag, output_dir))


@contextmanager
def locked(
    output_dir: Path, *, training: bool = False, flag: str = "--output_dir", shown: Path | None = None
) -> Iterator[None]:
    """Hold the folder's lock; the folder is created if it does not exist.

    Args:
        training: whether the run trains; `was_training` then tells a killed training from other folders.
        flag, shown: how the message names the folder; by default, the folder itself.

    The file stays when the block ends: a lock that nobody holds is taken over by the next run. But if the block ends
    with a mistake of the user, what this made is removed: nothing was written.

    Raises:
        UserError: another run holds it.
    """
    path = output_dir / LOCK
    made = [folder for folder in (output_dir, *output_dir.parents) if not folder.exists()]
    before = path.read_bytes() if path.exists() else None
    output_dir.mkdir(parents=True, exist_ok=True)
    is_ours = False  # the file of a run that came first is left alone
    try:
        with path.open("ab+") as file, _held(file, path, training, _Name(flag, shown or output_dir)):
            is_ours = True
            yield
    except UserError:
        if is_ours and before is None:
            path.unlink()
        elif is_ours and before is not None:
            path.write_bytes(before)
            _make_stale(path)
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise


@contextmanager
def _held(file: BinaryIO, path: Path, training: bool, name: _Name) -> Iterator[None]:
    has_locks = _take(file, path, name)
    # A prediction into the folder of an interrupted training does not end it.
    trains = training or was_training(path.parent)
    file.truncate(0)
    file.write(json.dumps(_holder(trains)).encode() + b"\n")
    file.flush()
    if has_locks:
        yield
        return
    with _touched(path):
        yield


def was_training(output_dir: Path) -> bool:
    """Whether a training with manifests wrote to a folder; run.json tells whether it ended."""
    try:
        holder = json.loads((output_dir / LOCK).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(holder, dict) and holder.get("training") is True


def _take(file: BinaryIO, path: Path, name: _Name) -> bool:
    """Take the lock; return whether the file system has locks.

    Raises:
        UserError: another run holds it.
    """
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            raise UserError(_in_use(path, name)) from None
        except OSError:  # no locks here (some network disks)
            pass
    if path.stat().st_size and time.time() - path.stat().st_mtime < _STALE_SECONDS:
        raise UserError(_in_use(path, name))
    return False


@contextmanager
def _touched(path: Path) -> Iterator[None]:
    """Renew the file's time while the block runs, and make it stale at its end."""
    ended = threading.Event()

    def touch() -> None:
        while not ended.wait(_TOUCH_SECONDS):
            os.utime(path)

    thread = threading.Thread(target=touch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _make_stale(path)


def _make_stale(path: Path) -> None:
    """Set an old time. The content stays: `was_training` reads it."""
    os.utime(path, (0, 0))


def _holder(training: bool) -> dict[str, Any]:
    start = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "start": start, "training": training}


def _in_use(path: Path, name: _Name) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        run = f"process {holder['pid']} on {holder['host']}, started {holder['start']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # it is being written at this moment
        run = "another process"
    return f"{name.flag} {name.folder}: another run writes to it ({run}); wait for it, or pass another {name.flag}"
