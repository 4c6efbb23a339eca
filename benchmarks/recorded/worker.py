"""Runs commands of a checkout in one process, which imports torch and upstream once for all of them.

    python benchmarks/recorded/worker.py CHECKOUT JOBS.json [--fresh]

JOBS.json is a list of {"name", "key", "commands": [[word, ...], ...], "log", "status"}. A job's output goes to its log;
its status file is written behind its last command, so that a job that was interrupted has none. With --fresh each
command is started as users start it.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Command = Callable[[list[str]], int]


def main() -> int:
    """Run all jobs; a job that fails does not stop the next one."""
    checkout, jobs = Path(sys.argv[1]).resolve(), json.loads(Path(sys.argv[2]).read_text())
    command = started(checkout) if "--fresh" in sys.argv else imported(checkout)
    terminal = os.dup(1)
    for job in jobs:
        start = time.monotonic()
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        status = run(job, command)
        Path(job["status"]).write_text(json.dumps({"status": status, "key": job["key"]}))
        line = f"{job['name']}: {'failed, ' if status else ''}{time.monotonic() - start:.1f} s\n"
        os.write(terminal, line.encode())
    return 0


def imported(checkout: Path) -> Command:
    """The checkout's `main`.

    Raises:
        SystemExit: another checkout's was imported.
    """
    sys.path[:1] = [str(checkout / "src"), str(checkout)]  # as train_bash.py has it, and nothing of this folder
    import llmtuner.cli.main as entry

    if not Path(entry.__file__).is_relative_to(checkout):
        raise SystemExit(f"error: {entry.__file__} was imported, which is not of {checkout}")
    return entry.main


def started(checkout: Path) -> Command:
    """A process of its own for each command."""
    words = [sys.executable, str(checkout / "src" / "train_bash.py")]
    return lambda argv: subprocess.run([*words, *argv], check=False).returncode


def run(job: dict[str, Any], command: Command) -> int:
    """The status of the first command that fails, or 0."""
    for words in job["commands"]:
        print("$", *words, flush=True)
        status = command(words)
        sys.stdout.flush()
        sys.stderr.flush()
        gc.collect()  # the next one's memory, and none of this one's finalisers in it
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
