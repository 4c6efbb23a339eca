"""The output folder: what may be replaced, how it is replaced as a whole, and what an interrupted build has left."""

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
    """Refuse a folder that must not, or cannot, be replaced.

    Raises:
        UserError: it is a file, it is not empty, it holds what no build writes, or there is no writing beside it.
    """
    shown = terminal_path(out)
    if os.path.islink(out) or (os.path.lexists(out) and not os.path.isdir(out)):
        raise UserError(f"--out {shown}: is no folder; pass another")
    there = _entries(out) if os.path.isdir(out) else []
    if there and not overwrite:
        raise UserError(f"--out {shown}: the folder is not empty; pass --overwrite to replace an earlier build")
    foreign = [path.name for path in there if not _is_ours(path)]
    if foreign:
        raise UserError(
            f"--out {shown}: {terminal_path(foreign[0])} is in it, which no build writes; replacing the folder "
            "would delete it: move it away, or pass another --out"
        )
    # A build is renamed into its place, which works for no mount point, and takes the working directory from a shell.
    if os.path.isdir(out) and (os.path.ismount(out) or os.path.samefile(out, os.curdir)):
        what = "is a mount point" if os.path.ismount(out) else "is the folder that this command runs in"
        raise UserError(
            f"--out {shown}: {what}, which cannot be replaced as a whole; pass {terminal_path(out / 'built')}"
        )
    _try_beside(out)


def _try_beside(out: Path) -> None:
    """Make a folder where the build will be written, and take it away again: before the work, not after it."""
    above = next(folder for folder in out.absolute().parents if os.path.lexists(folder))
    try:
        os.rmdir(tempfile.mkdtemp(prefix=_prefix(out), suffix=_EARLIER, dir=above))
    except OSError as error:
        raise UserError(
            f"--out {terminal_path(out)}: {terminal_path(above)} cannot be written to ({error.strerror}); pass another "
            "--out"
        ) from error


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"--out {terminal_path(folder)}: cannot be read: {error.strerror}; pass another") from error


def _is_ours(path: Path) -> bool:
    """Whether a build writes a file of this name; nothing else is ever deleted."""
    names = {MANIFEST, REMOVED, *(f"{name}.{form}" for name in SETS for form in FORMATS)}
    return path.name in names and path.is_file() and not path.is_symlink()


@contextmanager
def put_in_place(out: Path) -> Iterator[Path]:
    """A new folder next to `out` that takes its place in the end, or vanishes.

    Raises:
        RunError: the folder cannot be made, filled or put in place.
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
            f"{terminal_path(out)}: writing failed: {error.strerror}; what was there before is there still"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _swap(folder: Path, out: Path) -> None:
    """Rename, with the earlier folder aside until the new one is there.

    Afterwards the earlier one has the name of `folder`, to be deleted: what is called earlier is always whole.
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
    with suppress(OSError):  # the new build is in place: what is left is tidying up, and can be done next time
        os.rename(earlier, folder)


def clear_leftovers(out: Path) -> None:
    """Put back an earlier build that was aside when a build was killed, and delete what that one had written.

    Only folders of the names that builds use, which hold nothing but what builds write, and which no running build
    keeps locked. What was put back is said in a warning.
    """
    name = re.compile(re.escape(_prefix(out)) + rf"[a-z0-9_]{{8}}(?:{re.escape(_EARLIER)})?")
    with suppress(OSError):
        left = [path for path in sorted(out.absolute().parent.iterdir()) if name.fullmatch(path.name)]
        for path in (path for path in left if _is_build(path) and path.name.endswith(_EARLIER)):
            _put_back(path, out)
        for path in (path for path in left if _is_build(path) and not path.name.endswith(_EARLIER)):
            with _locked(path) as locked:
                if locked:
                    shutil.rmtree(path, ignore_errors=True)


def _put_back(earlier: Path, out: Path) -> None:
    folder = earlier.with_name(earlier.name.removesuffix(_EARLIER))
    with _locked(folder if folder.is_dir() else earlier) as locked:
        if not locked:  # its build is at work
            return
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            os.rename(earlier, out)
            logger.warning(
                "%s: put back the earlier build, which an interrupted one had moved aside", terminal_path(out)
            )
        elif (out / MANIFEST).is_file():  # the new build is in place
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(earlier, folder)
            shutil.rmtree(folder, ignore_errors=True)


def _is_build(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and all(map(_is_ours, folder.iterdir()))


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock a folder, for as long as this process lives at most; False where that cannot be had."""
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
    except OSError:  # another process has it, or the file system has no locks
        os.close(handle)
        return None
    return handle


def _prefix(out: Path) -> str:
    return f".{out.name}.build-"
