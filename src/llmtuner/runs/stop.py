"""SIGTERM in a training: the step in progress ends, a checkpoint is saved, and the process exits with 143.

Schedulers and `timeout` send it to the workers that load the data, too. They go on, because torch makes an error of a
worker that ends, and no checkpoint would be saved.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

TERMINATED = 143  # 128 + SIGTERM, as shells report it


class Terminated(BaseException):
    """The process was told to stop. No `except Exception` may swallow it, so it is not one.

    Args:
        saved: the checkpoint that was saved; "" for none.
    """

    def __init__(self, saved: str = "") -> None:
        self.saved = saved
        super().__init__(saved)


class StopRequest:
    """Whether the process was told to stop.

    While `deferred` is true (in a training) the signal is only noted, and whoever trains looks at `requested`.
    Otherwise, and at the second signal, `Terminated` is raised at once.
    """

    def __init__(self) -> None:
        self.deferred = False
        self.requested = False

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        at_once = not self.deferred or self.requested
        self.requested = True  # first: Python swallows what is raised in a `__del__`, and the training still sees this
        if at_once:
            raise Terminated

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle SIGTERM in this block. Only the main thread can: in another one, nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


class WorkerStart:
    """The start of a worker of a DataLoader (`worker_init_fn`): it goes on after the first SIGTERM, which is the run's.

    The second one ends it, and so does the first one after the process that made this object began to exit: then
    multiprocessing sends one to every worker, and waits for its end without a limit.

    Args:
        then: called with the worker's number, as the DataLoader would.
    """

    def __init__(self, then: Callable[[int], None] | None = None) -> None:
        from ctypes import c_bool
        from multiprocessing.sharedctypes import RawValue
        from multiprocessing.util import Finalize

        self._then = then
        self._told = False
        self._over = RawValue(c_bool, False)  # in memory that the workers share; it has no lock to wait for
        # A finalizer and no `atexit` function: these do not run in a process that multiprocessing started.
        Finalize(self, _set, (self._over,), exitpriority=0)

    def __call__(self, worker: int) -> None:
        """Called in the worker."""
        signal.signal(signal.SIGTERM, self._on_signal)
        if self._then is not None:
            self._then(worker)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._told or self._over.value:
            os._exit(0)  # another status would be an error of the run
        self._told = True


def _set(flag: Any) -> None:
    flag.value = True
