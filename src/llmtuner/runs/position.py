"""Where a resumed training stands, in epochs: steps may have had another size before.

The Trainer counts steps. After a checkpoint at step 6 of 6 in an epoch, a training with batches twice as large took
step 6 for the end of its second epoch, and trained nothing.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from llmtuner.spec.model_files import TRAINER_STATE

_ROUNDING = 1e-6  # of an epoch's share that was stored as a quotient


@dataclass(frozen=True, slots=True)
class Position:
    """The step and the epoch, with its share that is done, at which a checkpoint was saved."""

    step: int
    epoch: float

    @classmethod
    def of(cls, checkpoint: Path | None) -> Position | None:
        """The position of a checkpoint; None without one, or if it does not say."""
        if checkpoint is None or not (checkpoint / TRAINER_STATE).is_file():
            return None
        state = json.loads((checkpoint / TRAINER_STATE).read_text(encoding="utf-8"))
        return cls(int(state["global_step"]), float(state["epoch"] or 0.0))

    def steps_done(self, steps_per_epoch: int) -> int:
        """How many steps of the present size were made; one that is not complete is made again."""
        return math.floor(self.epoch * steps_per_epoch + _ROUNDING)

    def surplus(self, steps_per_epoch: int) -> int:
        """How many more steps were counted than were made in the present size; 0 if the size is the same."""
        return self.step - self.steps_done(steps_per_epoch)
