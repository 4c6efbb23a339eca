"""The runs of one model in a process of their own, which imports the packages once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from demo_parts.runs import Run

SHOWN_LINES = 25  # of the log of a run that failed


def carry_out(runs: Sequence[Run], out: Path) -> None:
    """Do the runs one after the other in this process; output goes to a log each. Exits with 1 if one fails."""
    from llmtuner.cli.main import main as train_bash

    terminal = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", errors="backslashreplace")
    for run in runs:
        print(f"== {run.title}", file=terminal, flush=True)
        words, log, start = [*run.words, "--output_dir", str(out / run.name)], out / f"{run.name}.log", time.monotonic()
        with log_of(log) as file:
            print(f"python src/train_bash.py {shlex.join(words)}", file=file, flush=True)
            status = train_bash(words)
        if status:
            show_end(log)
            sys.exit(1)
        print(f"   {time.monotonic() - start:.0f} s, log: {shown(log)}", file=terminal, flush=True)


@contextlib.contextmanager
def log_of(log: Path) -> Iterator[TextIO]:
    """Send what this process and its libraries print to a file, within a `with`."""
    sys.stdout.flush()  # or what was printed before goes to the file, too
    saved = [os.dup(number) for number in (1, 2)]
    with log.open("w", encoding="utf-8") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        try:
            yield file
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, kept in zip((1, 2), saved, strict=True):
                os.dup2(kept, number)
                os.close(kept)


def show_end(log: Path) -> None:
    """Print the last lines of the log of a run that failed."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN_LINES:]
    print("\n".join(lines), f"error: failed; the whole log is {log}", sep="\n", file=sys.stderr)


def in_a_process(runs: Sequence[Run], out: Path) -> None:
    """Carry out the runs of one model; its memory is free afterwards. Exits with 1 if one fails."""
    process = multiprocessing.get_context("spawn").Process(target=carry_out, args=(runs, out))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(1)


def shown(path: Path) -> str:
    """A path as the user would type it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
