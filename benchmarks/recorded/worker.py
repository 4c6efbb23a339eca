"""Run commands of a checkout, each in a fork of a process that has imported torch and upstream already.

    python benchmarks/recorded/worker.py CHECKOUT JOBS.json [--fresh]

JOBS.json is a list of {"name", "key", "commands": [[word, ...], ...], "log", "status"}. The output of a job goes to its
log. Its status file is written after its last command, so that an interrupted job has none. With --fresh each command
starts a process, as users start it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

# The modules of upstream that a run imports after its parser.
PRELOADED = ("llamafactory.train.tuner", "llamafactory.train.sft.workflow", "peft", "datasets")

Command = Callable[[list[str]], int]


def main() -> int:
    """Run all jobs; a failed job does not stop the next one."""
    checkout, jobs = Path(sys.argv[1]).resolve(), json.loads(Path(sys.argv[2]).read_text())
    command = started(checkout) if "--fresh" in sys.argv else imported(checkout)
    for job in jobs:
        start = time.monotonic()
        # Up to the first command that fails.
        status = next((status for words in job["commands"] if (status := forked(words, command, job["log"]))), 0)
        Path(job["status"]).write_text(json.dumps({"status": status, "key": job["key"]}))
        print(f"{job['name']}: {'failed, ' if status else ''}{time.monotonic() - start:.1f} s", flush=True)
    return 0


def forked(words: list[str], command: Command, log: str) -> int:
    """The status of a command in a child process, with its output appended to the log.

    A command may change its process, and must not change the next one: --profile 2023 replaces a template of upstream.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        print("$", *words, flush=True)
        status = command(words)
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # skips the clean-up of the parent


def imported(checkout: Path) -> Command:
    """The `main` of the checkout.

    Raises:
        SystemExit: the import took another checkout.
    """
    sys.path[:1] = [str(checkout / "src"), str(checkout)]  # as train_bash.py sets it, without this folder
    import llmtuner.cli.main as entry

    if not Path(entry.__file__).is_relative_to(checkout):
        raise SystemExit(f"error: imported {entry.__file__}, which is not in {checkout}")
    with contextlib.redirect_stdout(io.StringIO()):
        entry.main(["--help_all"])  # imports and patches upstream
    for module in PRELOADED:
        importlib.import_module(module)
    return entry.main


def started(checkout: Path) -> Command:
    """A function that starts a new process for each command."""
    words = [sys.executable, str(checkout / "src" / "train_bash.py")]
    return lambda argv: subprocess.run([*words, *argv], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
