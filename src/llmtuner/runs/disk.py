"""A full disk: torch and safetensors report it in words that do not say so."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from llmtuner.files import FULL

_LITTLE = 1 << 20  # bytes: less free space than any checkpoint takes
_PLENTY = 50 << 30  # bytes: more than a checkpoint with the states of a 7B model's optimizer lacks at a full disk
_WORDS = ("no space left", "disk quota")
_CUT = ("unexpected pos", "pytorchstreamwriter failed")  # torch wrote a part of a file, and does not know why


def is_full(error: BaseException) -> bool:
    """Whether an error of another package comes from a full disk."""
    reasons = [error, error.__cause__, error.__context__]
    if any(isinstance(reason, OSError) and reason.errno in FULL for reason in reasons):
        return True
    return is_too_large(error) or _says(error, *_WORDS, *_CUT)


def is_too_large(error: BaseException) -> bool:
    """Whether a file was larger than it may be: the limit of a file system (FAT32: 4 GB), or of `ulimit -f`."""
    return getattr(error, "errno", None) == errno.EFBIG or _says(error, "file too large")


def _says(error: BaseException, *words: str) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)


def disk_full(folder: str, error: BaseException | None = None, *, trains: bool = True) -> str:
    """The message about a full disk.

    Args:
        folder: of the run's results.
        error: what was raised.
        trains: whether the run writes checkpoints.
    """
    again = "resumes from the last complete checkpoint" if trains else "predicts again"
    resumes = f"The same command then {again}"
    fewer = " keep fewer checkpoints with --save_total_limit," if trains else ""
    if error is not None and is_too_large(error):
        return (
            f"a file is larger than the disk of {folder}, or the shell (`ulimit -f`), allows; pass an --output_dir on "
            f"another disk, or raise the limit. {resumes}"
        )
    free = _free(folder)
    if error is not None and _says(error, *_CUT) and free > _LITTLE:
        return (
            f"a file in {folder} could not be written to its end, and its disk has {free / 1e6:,.1f} MB free now: look "
            "at quotas, and at the largest file that the disk (FAT32: 4 GB) or the shell (`ulimit -f`) allows; or pass "
            f"another --output_dir. {resumes}"
        )
    if free > _PLENTY:
        return (
            f"no space left, but not on the disk of {folder} ({free / 1e6:,.1f} MB free): look at the disks of the "
            f"printed output, the temporary folder and the caches (TMPDIR, HF_HOME), and at quotas. {resumes}"
        )
    return (
        f"no space left on the disk of {folder} ({free / 1e6:,.1f} MB free{_no_more_files(folder)}); free some,{fewer} "
        f"or pass another --output_dir. {resumes}"
    )


def _no_more_files(folder: str) -> str:
    """Says so if a file system has space, but cannot hold another file."""
    if not hasattr(os, "statvfs"):
        return ""
    status = os.statvfs(_existing(folder))
    return ", but no more files fit" if status.f_files and not status.f_favail else ""


def _free(folder: str) -> int:
    return shutil.disk_usage(_existing(folder)).free


def _existing(folder: str) -> Path:
    path = Path(folder).absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
