"""Where a benchmark's figures come from."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit() -> str:
    """The short name of the commit that is measured, or "unknown" outside a repository."""
    git = ["git", "rev-parse", "--short", "HEAD"]
    here = Path(__file__).parent
    return subprocess.run(git, check=False, capture_output=True, text=True, cwd=here).stdout.strip() or "unknown"
