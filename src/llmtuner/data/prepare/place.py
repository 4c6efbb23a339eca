"""The output folder: check it, replace it as a whole, and clean up after an interrupted build."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llmtuner.data.prepare.build import SETS
from llmtuner.data.problems import terminal_path
from llmtuner.errors import RunError, UserError

FORMATS = ("jsonl", "parquet")
MANIFEST, REMOVED = "manifest.json", "removed.jsonl"
_EARLIER = ".earlier"
logger = logging.getLogger("llmtuner.data")


def check_out(out: Path, *, overwrite: bool) -> None:
    """Reject a folder that must not, or cannot, be replaced.

    Raises:
        UserError: it is a file, it is not empty, it holds other files, or its parent folder is not writable.
    """
    name = terminal_path(out)
    if os.path.islink(out) or (os.path.lexists(out) and not os.path.isdir(out)):
        raise UserError(f"--out {name}: is not a folder; pass another")
    entries = _entries(out) if os.path.isdir(out) else []
    if entries and not overwrite:
        raise UserError(f"--out {name}: the folder is not empty; pass --overwrite to replace an earlier build")
    foreign = [path.name for path in entries if not _is_ours(path)]
    if foreign:
        raise UserError(
            f"--out {name}: contains {terminal_path(foreign[0])}, which is not part of a build; replacing the folder "
            "would delete it: move it away, or pass another --out"
        )
    # A build is renamed into place. A mount point cannot be renamed, and a shell would lose its working directory.
    if os.path.isdir(out) and (os.path.ismount(out) or os.path.samefile(out, os.curdir)):
        kind = "is a mount point" if os.path.ismount(out) else "is the folder that this command runs in"
        raise UserError(
            f"--out {name}: {kind}, which cannot be replaced as a whole; pass {terminal_path(out / 'built')}"
        )
    _check_writable(out)


def _check_writable(out: Path) -> None:
    """Create and delete a folder where the build will be written, so that a failure shows up before the work."""
    above = next(folder for folder in out.absolute().parents if os.path.lexists(folder))
    try:
        os.rmdir(tempfile.mkdtemp(prefix=_prefix(out), suffix=_EARLIER, dir=above))
    except OSError as error:
        raise UserError(
            f"--out {terminal_path(out)}: {terminal_path(above)} is not writable ({error.strerror}); pass another --out"
        ) from error


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"--out {terminal_path(folder)}: cannot be read: {error.strerror}; pass another") from error


def _is_ours(path: Path) -> bool:
    """Whether the file has a name that a build writes. Nothing else is ever deleted."""
    names = {MANIFEST, REMOVED, *(f"{name}.{form}" for name in SETS for form in FORMATS)}
    return path.name in names and path.is_file() and not path.is_symlink()


@contextmanager
def put_in_place(out: Path) -> Iterator[Path]:
    """A new folder beside `out` that replaces it when the block ends, and is deleted when the block raises.

    Raises:
        RunError: the folder cannot be created, filled or put in place.
    """
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_prefix(out), dir=out.absolute().parent))
    except OSError as error:
        raise RunError(f"{terminal_path(out)}: cannot be written: {error.strerror}") from error
    try:
        with _locked(folder):
            yield folder
            folder.chmod(0o755)
            _swap(folder, out)
    except OSError as error:
        raise RunError(
            f"{terminal_path(out)}: writing failed: {error.strerror}; the earlier content is unchanged"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _swap(folder: Path, out: Path) -> None:
    """Rename the new folder to `out`; the earlier one has a temporary name until that has succeeded.

    Then the earlier folder gets the name of `folder` and is deleted, so a folder with the suffix is always complete.
    """
    earlier = folder.with_name(folder.name + _EARLIER)
    if not out.is_dir():
        os.rename(folder, out)
        return
    try:
        os.rename(out, earlier)
        os.rename(folder, out)
    except BaseException:
        if earlier.is_dir() and not out.is_dir():
            os.rename(earlier, out)
        raise
    with suppress(OSError):  # the new build is in place, and the next build can clean up
        os.rename(earlier, folder)


def clear_leftovers(out: Path) -> None:
    """Restore an earlier build that was renamed when a build was killed, and delete the files of the killed build.

    It only touches folders that are named like temporary builds, hold only files of a build and are not locked by a
    running build. A restored build is logged as a warning.
    """
    name = re.compile(re.escape(_prefix(out)) + rf"[a-z0-9_]{{8}}(?:{re.escape(_EARLIER)})?")
    with suppress(OSError):
        leftovers = [path for path in sorted(out.absolute().parent.iterdir()) if name.fullmatch(path.name)]
        for path in (path for path in leftovers if _is_build(path) and path.name.endswith(_EARLIER)):
            _restore(path, out)
        for path in (path for path in leftovers if _is_build(path) and not path.name.endswith(_EARLIER)):
            with _locked(path) as locked:
                if locked:
                    shutil.rmtree(path, ignore_errors=True)


def _restore(earlier: Path, out: Path) -> None:
    folder = earlier.with_name(earlier.name.removesuffix(_EARLIER))
    with _locked(folder if folder.is_dir() else earlier) as locked:
        if not locked:  # its build is still running
            return
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            os.rename(earlier, out)
            logger.warning("%s: restored the earlier build, which an interrupted build had renamed", terminal_path(out))
        elif (out / MANIFEST).is_file():  # the new build is in place
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(earlier, folder)
            shutil.rmtree(folder, ignore_errors=True)


def _is_build(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and all(map(_is_ours, folder.iterdir()))


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock a folder until the block or the process ends; yields False if another process has the lock."""
    handle = _lock(folder)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)


def _lock(folder: Path) -> int | None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process has the lock, or the file system has no locks
        os.close(handle)
        return None
    return handle


def _prefix(out: Path) -> str:
    return f".{out.name}.build-"
