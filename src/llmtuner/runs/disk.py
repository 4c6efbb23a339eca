"""A full disk: torch and safetensors report it in words that do not say so."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

_LITTLE = 1 << 20  # bytes: less free space than any checkpoint takes
_WORDS = ("no space left", "unexpected pos", "inline_container", "disk quota")


def is_full(folder: str, error: BaseException) -> bool:
    """Whether an error of another package comes from a full disk."""
    reasons = [error, error.__cause__, error.__context__]
    if any(isinstance(reason, OSError) and reason.errno in (errno.ENOSPC, errno.EDQUOT) for reason in reasons):
        return True
    text = str(error).lower()
    return "no space left" in text or (any(word in text for word in _WORDS) and _free(folder) < _LITTLE)


def disk_full(folder: str) -> str:
    """The message about a full disk."""
    return (
        f"no space left on the disk of {folder} ({_free(folder) / 1e6:,.1f} MB free); free some, keep fewer "
        "checkpoints with --save_total_limit, or pass another --output_dir. The same command then resumes from the "
        "last complete checkpoint"
    )


def _free(folder: str) -> int:
    path = Path(folder).absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free
