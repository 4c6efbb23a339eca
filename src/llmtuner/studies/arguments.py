"""What the command lines of all studies share: their flags, the command behind --, and how they end."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from llmtuner.cli.preflight import flag_message
from llmtuner.data.prediction_files import check_out_file
from llmtuner.errors import UserError
from llmtuner.files import write_atomic
from llmtuner.studies.jobs import MISTAKE, Stopped

STDOUT = "-"


class Outcome(NamedTuple):
    """What a study found.

    Args:
        record: for JSON.
        lines: the table.
        failed: exit status of the runs that failed, by name.
    """

    record: Mapping[str, Any]
    lines: Sequence[str]
    failed: Mapping[str, int]


def own_and_command(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of the study, and those behind --."""
    end = words.index("--") if "--" in words else len(words)
    return list(words[:end]), list(words[end + 1 :])


def add_study_flags(parser: argparse.ArgumentParser, run: str) -> None:
    """Add the flags that every study has.

    Args:
        run: what one of its runs is called, such as "piece".
    """
    parser.add_argument("--parallel", type=_count, default=1, metavar="N", help=f"{run}s at a time (default: 1)")
    parser.add_argument("--minutes", type=_minutes, help=f"start no {run} after so many minutes")
    parser.add_argument("--overwrite", action="store_true", help=f"run all {run}s afresh")
    help_json = "write the results as JSON to FILE; without FILE, print them instead of the table"
    parser.add_argument("--json", nargs="?", const=STDOUT, metavar="FILE", help=help_json)


def run_study(study: Callable[[], Outcome], json_file: str | None) -> int:
    """Run a study and print what it found.

    Args:
        json_file: the value of --json.

    Returns:
        0, 1 if a run failed, 2 for a mistake of the user, 128 + the number of a signal.
    """
    try:
        check_out_file(json_file, overwrite=_is_outcome(json_file))
        outcome = study()
    except (UserError, OSError) as error:
        print(f"error: {flag_message(error)}", file=sys.stderr)
        return MISTAKE
    except Stopped as error:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return error.status
    shown = json.dumps(outcome.record, indent=1, ensure_ascii=False)
    print(shown if json_file == STDOUT else "\n".join(outcome.lines))
    if json_file not in (None, STDOUT):
        write_atomic(json_file, shown + "\n")
    if MISTAKE in outcome.failed.values():
        return MISTAKE
    return 1 if outcome.failed else 0


def _is_outcome(json_file: str | None) -> bool:
    """Whether a file has what an earlier start of a study found, which this one may replace."""
    try:
        stored = json.loads(Path(json_file or "").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(stored, dict) and {"format", "flags", "failed"} <= stored.keys()


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not minutes >= 0:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, found {text!r}")
    return minutes


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text!r}")
    return int(text)
