"""Commands, mostly of src/train_bash.py, in processes of their own, several at a time, with a log each."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from llmtuner.cli.launch import ENTRY_POINT
from llmtuner.data.problems import escaped

MISTAKE = 2  # the exit status for a mistake of the user
_WAIT_SECONDS = 0.1
_SHOWN_LINES = 15
_AS: dict[int, int] = {signal.SIGHUP: signal.SIGTERM}


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        words: after `python PROGRAM`.
        log: gets its words and its output.
        program: None for src/train_bash.py.
        is_done: whether its work is there already. If the command is refused, this is asked once: a command of a killed
            study may have lived on, and have done the work since this study looked.
    """

    words: Sequence[str]
    log: Path
    program: Path | None = None
    is_done: Callable[[], bool] | None = None


@dataclass(frozen=True)
class Job:
    """Commands that follow each other; the rest is skipped if one fails.

    Args:
        name: for messages.
    """

    name: str
    commands: Sequence[Command]


@dataclass(frozen=True)
class Ended:
    """A job that ended.

    Args:
        status: of its last command: 0 if all are done.
        seconds: of all its commands.
        log: of the last command; None if the job has none.
    """

    job: Job
    status: int
    seconds: float
    log: Path | None

    def failure(self) -> str:
        """What is said of a job that failed: its status, its log, and the end of that."""
        log = "" if self.log is None else f"; its log: {self.log}"
        return f"failed with status {self.status}{log}\n{self.last_lines()}"

    def last_lines(self) -> str:
        """The end of the log: the error message if there is one, else the last lines."""
        if self.log is None:
            return ""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        start = next((i for i, line in enumerate(lines) if line.startswith("error: ")), -_SHOWN_LINES)
        return "\n".join(lines[start:][-_SHOWN_LINES:])


@dataclass
class _Running:
    """A job that has begun. Its command runs in a session of its own: at Ctrl-C a terminal would signal it as well."""

    job: Job
    done: int = 0  # commands
    process: subprocess.Popen[bytes] | None = None
    log: BinaryIO | None = None
    signals: int = 0  # that were passed on
    began: float = field(default_factory=time.monotonic)

    def start_next(self) -> None:
        command = self.job.commands[self.done]
        command.log.parent.mkdir(parents=True, exist_ok=True)
        command.log.write_bytes(b"")
        # Appended: a command that outlived a killed study would write over the message of this one.
        self.log = command.log.open("ab")
        words = [sys.executable, str(command.program or ENTRY_POINT), *command.words]
        self.process = subprocess.Popen(words, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)

    def pass_on(self, received: Sequence[int]) -> None:
        """Send the command the signals that it was not sent yet."""
        for number in received[self.signals :]:
            if self.process is not None:
                self.process.send_signal(number)
        self.signals = len(received)

    def status(self) -> int | None:
        """The exit status of the command, if it has ended; 0 if none was started."""
        if self.process is None:
            return 0
        status = self.process.poll()
        if status is None:
            return None
        assert self.log is not None
        self.log.close()
        self.process = None
        command = self.job.commands[self.done]
        self.done += 1
        if status == MISTAKE and command.is_done is not None and command.is_done():
            say(f"{self.job.name}: taken up, as a command of an earlier start has ended it meanwhile")
            return 0
        return 128 - status if status < 0 else status  # as shells report a process that a signal ended

    def ended(self, status: int) -> Ended:
        log = self.job.commands[self.done - 1].log if self.done else None
        return Ended(self.job, status, time.monotonic() - self.began, log)


def say(text: str) -> None:
    """A line, or several, about the progress of a study."""
    print(escaped(text, keep="\n\t"), file=sys.stderr, flush=True)


class Stopped(Exception):
    """The jobs were told to stop.

    Args:
        status: 128 + the number of the signal.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def run_jobs(
    jobs: Sequence[Job], on_end: Callable[[Ended], None], *, parallel: int = 1, minutes: float | None = None
) -> None:
    """Run jobs in their order, `parallel` at a time. A job that fails does not stop the others.

    But no other job starts after one that ended with a mistake of the user: the rest most likely has the same.

    Args:
        on_end: is called for each job as it ends, in this thread.
        minutes: start no job after so many.

    Raises:
        Stopped: after SIGINT, SIGTERM or SIGHUP, which is passed on, and when the running commands have ended.
    """
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    waiting, running = list(jobs), list[_Running]()
    with _received() as received:
        try:
            while (running or waiting) and not (received and not running):
                if deadline is not None and time.monotonic() > deadline:
                    waiting.clear()
                while waiting and len(running) < parallel and not received:
                    running.append(_Running(waiting.pop(0)))
                for end in _step(running, received):
                    on_end(end)
                    if end.status == MISTAKE:
                        waiting.clear()
                time.sleep(_WAIT_SECONDS)
        finally:
            for each in running:  # an error of ours: no command outlives this process
                if each.process is not None:
                    each.process.terminate()
                    each.process.wait()
    if received:
        raise Stopped(128 + received[0])


def _step(running: list[_Running], received: Sequence[int]) -> Iterator[Ended]:
    """Start the next command of each job whose command has ended; yields the jobs that are done or failed."""
    for each in list(running):
        each.pass_on(received)
        status = each.status()
        if status is None:
            continue
        if status == 0 and each.done < len(each.job.commands) and not received:
            each.start_next()
            continue
        running.remove(each)
        if not received or (status == 0 and each.done == len(each.job.commands)):
            yield each.ended(status)


@contextmanager
def _received() -> Iterator[list[int]]:
    """The signals that would stop this process, as they come, instead of being stopped.

    A terminal that is closed sends SIGHUP to this process alone. It counts as SIGTERM, after which a training saves a
    checkpoint; under nohup it is ignored.
    """
    received: list[int] = []
    stops = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        stops.append(signal.SIGHUP)
    before = [signal.signal(stop, lambda number, _: received.append(_AS.get(number, number))) for stop in stops]
    try:
        yield received
    finally:
        for stop, handler in zip(stops, before, strict=True):
            signal.signal(stop, handler)
