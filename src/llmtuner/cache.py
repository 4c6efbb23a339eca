"""The folder for what is made once and used by many runs. Standard library only: every room may import it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from llmtuner.files import TEMPORARY, new_folder

try:
    import fcntl
except ImportError:  # Windows: two processes may then do the same work, and the last one's folder stays
    fcntl = None  # type: ignore[assignment]


def cache_folder() -> Path:
    """`LLMTUNER_CACHE`, else `$XDG_CACHE_HOME/llmtuner`, else `~/.cache/llmtuner`; it need not exist."""
    given = os.environ.get("LLMTUNER_CACHE", "").strip()
    if given:
        return Path(given).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME", "").strip()
    # The XDG specification: a relative path is to be ignored.
    base = Path(shared) if os.path.isabs(shared) else Path.home() / ".cache"
    return base / "llmtuner"


def cached_folder(name: str, build: Callable[[Path], None], is_whole: Callable[[Path], bool]) -> Path:
    """A folder of the cache, which is built if it is not there or not whole.

    Two processes that need it at the same time build it once: the second one waits for the first.

    Args:
        name: the folder's name; it changes with everything that its content depends on.
        build: writes the content to an empty folder, which then gets its name.
        is_whole: whether an existing folder can be used; cheap, because every caller asks.

    Raises:
        OSError: the cache cannot be written.
    """
    folder = cache_folder() / name
    if is_whole(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f".{name}.lock")):
        if is_whole(folder):
            return folder
        _remove_leftovers(folder)
        with new_folder(folder, overwrite=True) as temporary:
            build(temporary)
    return folder


_read_only: ContextVar[bool] = ContextVar("read_only", default=False)


@contextmanager
def read_only() -> Iterator[None]:
    """Within the block, caches are read and not written: for a dry run."""
    token = _read_only.set(True)
    try:
        yield
    finally:
        _read_only.reset(token)


def is_read_only() -> bool:
    """Whether caches must not be written now."""
    return _read_only.get()


@contextmanager
def locked(path: Path, waits: Callable[[], None] | None = None) -> Iterator[None]:
    """Wait until no other process holds the lock, and hold it. The file stays: deleting it would split the lock.

    Args:
        waits: called once if another process holds it.

    Raises:
        OSError: the file cannot be written, or its file system has no locks.
    """
    with path.open("ab") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waits is not None:
                    waits()
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_leftovers(folder: Path) -> None:
    """Delete what killed processes left beside a folder; whoever calls this holds the lock."""
    for path in folder.parent.glob(f".{folder.name}.*"):
        if TEMPORARY.fullmatch(path.name) and path.is_dir():
            shutil.rmtree(path)
