"""Which process this is, and whether it speaks for all."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

LAUNCHED = "LLMTUNER_LAUNCHED"  # set for workers: what is worth saying was said before they started


def is_first_process() -> bool:
    """Whether this is the first of torchrun's processes, or the only one."""
    return int(os.environ.get("RANK", "0")) == 0


def say(lines: Iterable[str], kind: str = "note") -> None:
    """Print lines to stderr, once however many processes there are."""
    if is_first_process() and LAUNCHED not in os.environ:
        for line in lines:
            print(f"{kind}: {line}", file=sys.stderr)
