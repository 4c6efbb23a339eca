"""The speed of a training: questions and tokens of all processes since its start, and the time left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from llmtuner.mcq.collate import Batch
from llmtuner.mcq.layouts.base import PADDING


class Pace:
    """Counts optimizer steps from the first one of this process's training on.

    Args:
        world: processes that train together.
        copies: how many times each question is in its batch.
    """

    def __init__(self, world: int = 1, copies: int = 1) -> None:
        self._world, self._copies = world, copies
        self._counts: list[Any] = []  # questions of each step, as the Trainer counts them: possibly still on a device
        self._questions = self.tokens = 0
        self._first_step: int | None = None
        self._start = time.perf_counter()

    def add(self, batches: Sequence[Batch], questions: Any, step: int) -> None:
        """Count an optimizer step: all its questions, and this process's tokens; other processes have about as many.

        Args:
            questions: of all batches and processes; None if there are none.
            step: optimizer steps that are done.
        """
        if self._first_step is None:  # a resumed run does not start at 0
            self._first_step, self._start = step, time.perf_counter()
        if questions is not None:
            self._counts.append(questions)
        for batch in batches:
            real_BT = batch["segments"] != PADDING if "segments" in batch else batch["attention_mask"] > 0
            self.tokens += self._world * int(real_BT.sum())

    @property
    def questions(self) -> int:
        """Questions since the start; counts still on the device are read now."""
        self._questions += sum(int(count) // self._copies for count in self._counts)
        self._counts.clear()
        return self._questions

    def figures(self, step: int, steps: int) -> dict[str, Any]:
        """The figures of a log line.

        Args:
            step, steps: optimizer steps done, and in total.
        """
        seconds = time.perf_counter() - self._start
        done = max(step - (self._first_step or 0), 1)
        return {
            "questions_per_second": round(self.questions / seconds, 2),
            "tokens_per_second": round(self.tokens / seconds, 1),
            "time_left": str(timedelta(seconds=round(seconds / done * (steps - step)))),
        }
