"""Lines about how far a long work is: done, a second, and the time left where the end is known."""

from __future__ import annotations

import time
from collections.abc import Callable

Say = Callable[[str], None]


class Progress:
    """Says at most every few seconds how much is done.

    Args:
        say: takes a line.
        what: what is being done, such as "encoding".
        unit: what is counted, in the plural.
        total: how many there are; None if that is not known before the end.
        share: tells how much of the work is done, from 0 to 1, where `total` is not known.
        every: seconds between two lines.
        clock: seconds.
    """

    def __init__(
        self,
        say: Say,
        what: str,
        *,
        unit: str = "chunks",
        total: int | None = None,
        share: Callable[[], float] | None = None,
        every: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say, self._what, self._unit, self._total = say, what, unit, total
        self._share = share
        self._every, self._clock = every, clock
        self._start = self._last = clock()
        self._done = 0

    def __call__(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        now = self._clock()
        if now - self._last >= self._every:
            self._last = now
            self._say(self._line(now - self._start))

    def _line(self, seconds: float) -> str:
        rate = self._done / seconds
        of_total = f" of {self._total:,}" if self._total is not None else ""
        line = f"{self._what}: {self._done:,}{of_total} {self._unit}, {rate:,.0f} a second"
        done = self._done_share()
        return f"{line}, {duration(seconds * (1 - done) / done)} left" if done else line

    def _done_share(self) -> float:
        if self._total is not None:
            return self._done / self._total if self._total else 1.0
        return 0.0 if self._share is None else self._share()


def duration(seconds: float) -> str:
    """Seconds as a person says them: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
