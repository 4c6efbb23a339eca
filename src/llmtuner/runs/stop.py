"""SIGTERM in a training: the step in progress ends, a checkpoint is saved, and the process exits with 143."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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
