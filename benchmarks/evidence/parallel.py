"""Several trainings at a time, each in a separate process that a thread waits for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

Job = TypeVar("Job")


def run_parallel(
    run_job: Callable[[Job], None], jobs: Iterable[Job], workers: int, *, minutes: float = math.inf
) -> None:
    """Run every job in its order, `workers` at a time; after a failure no further job starts.

    Args:
        minutes: after so many from now no further job starts; those that run are finished.

    Raises:
        BaseException: the first exception of a job, after the jobs that were running beside it have ended.
    """
    deadline, failed = time.monotonic() + 60 * minutes, Event()

    def guarded(job: Job) -> None:
        if failed.is_set() or time.monotonic() > deadline:
            return
        try:
            run_job(job)
        except BaseException:  # also SystemExit, which a failed training raises
            failed.set()
            raise

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(guarded, jobs))
