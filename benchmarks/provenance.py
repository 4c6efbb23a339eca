"""Where a benchmark's figures come from."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path


def commit() -> str:
    """The short name of the commit that is measured, or "unknown" outside a repository."""
    git = ["git", "rev-parse", "--short", "HEAD"]
    here = Path(__file__).parent
    return subprocess.run(git, check=False, capture_output=True, text=True, cwd=here).stdout.strip() or "unknown"


def machine(threads: int) -> dict[str, str | int]:
    """What the trainings of a comparison ran on."""
    import torch  # not above: a benchmark of memory wants none of it

    return {"processor": platform.machine(), "torch": torch.__version__, "threads": threads}
