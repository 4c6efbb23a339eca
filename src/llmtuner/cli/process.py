"""Which process this is, and whether it prints for all."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from llmtuner.data.problems import escaped

LAYOUT = "\n\t"  # control characters that our own messages contain
LAUNCHED = "LLMTUNER_LAUNCHED"  # set for workers: notices were printed before they started


def is_first_process() -> bool:
    """Whether this is torchrun's first process, or the only process.

    Job systems set RANK for a whole machine, too; only torchrun also sets LOCAL_RANK.
    """
    return "LOCAL_RANK" not in os.environ or int(os.environ.get("RANK", "0")) == 0


def is_first_of_machine() -> bool:
    """Whether this is the only process of its machine, or the first: the one that says what is wrong there."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0


def say(lines: Iterable[str], kind: str = "note") -> None:
    """Print lines to stderr, once for all processes."""
    if is_first_process() and LAUNCHED not in os.environ:
        for line in lines:
            print(f"{kind}: {escaped(line, keep=LAYOUT)}", file=sys.stderr)
