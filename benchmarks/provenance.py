"""Where a benchmark's figures come from, and where they go."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def commit(checkout: Path = Path(__file__).parent) -> str:
    """The short name of the measured commit, or "unknown" outside a repository.

    A "-dirty" at its end says that a file differs from the commit. The variable SOURCE_COMMIT names the commit where a
    copy of the tree runs without its repository.

    Args:
        checkout: a folder in the measured repository.
    """
    named = os.environ.get("SOURCE_COMMIT")
    if named:
        return named
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        described = subprocess.run(command, check=False, capture_output=True, text=True, cwd=checkout)
    except FileNotFoundError:  # git is not installed
        return "unknown"
    return described.stdout.strip() or "unknown"


def hardware(device: str | None = None) -> str:
    """The device and the version of torch.

    Args:
        device: such as "cpu" or "cuda"; None for the GPU if the machine has one, as trainings choose it.
    """
    import torch  # late: a benchmark that measures memory calls this last

    cuda = torch.cuda.is_available() if device is None else device.startswith("cuda")
    cores = f"{os.cpu_count()} cores, {platform.machine()}, no GPU"
    return f"{torch.cuda.get_device_name() if cuda else cores}, torch {torch.__version__}"


def trial_file(name: str) -> Path:
    """The default of every --out: a trial must not replace a committed file in benchmarks/results."""
    return ROOT / "out" / "benchmarks" / f"{name}.json"


def write_result(result: dict[str, Any], path: Path, *, indent: int = 1) -> None:
    """Write a result as JSON, with the folder that it goes to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=indent) + "\n", encoding="utf-8")
