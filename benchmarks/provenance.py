"""Where a benchmark's figures come from."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def commit(checkout: Path = Path(__file__).parent) -> str:
    """The short name of the commit that is measured, or "unknown" outside a repository.

    "-dirty" behind it says that some file was not as committed.
    SOURCE_COMMIT names it where a copy of the tree is run without its repository.

    Args:
        checkout: a folder in the repository that is measured; this one unless given.
    """
    named = os.environ.get("SOURCE_COMMIT")
    if named:
        return named
    git = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        done = subprocess.run(git, check=False, capture_output=True, text=True, cwd=checkout)
    except FileNotFoundError:  # no git here
        return "unknown"
    return done.stdout.strip() or "unknown"


def hardware(device: str | None = None) -> str:
    """The device and its torch; without a name, the device that trainings here take by themselves."""
    import torch  # not above: a benchmark of memory wants none of it

    cuda = torch.cuda.is_available() if device is None else device.startswith("cuda")
    name = torch.cuda.get_device_name() if cuda else f"{platform.machine()} without a GPU"
    return f"{name}, torch {torch.__version__}"
