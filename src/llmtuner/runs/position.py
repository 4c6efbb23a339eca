"""Where a resumed training stands, in epochs: steps may have had another size before.

The Trainer counts steps. After a checkpoint at step 6 of 6 in an epoch, a training with batches twice as large took
step 6 for the end of its second epoch, and trained nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

    def resized(self, values: Sequence[Any], *, by_steps: bool) -> tuple[Any, ...]:
        """The Trainer's plan of a training that goes on here, whose steps may have had another size before.

        Args:
            values: of its `set_initial_training_values`: epochs first, then steps per epoch, and the last step at the
                end.
            by_steps: whether the last step was given (--max_steps), not the number of epochs.
        """
        epochs, per_epoch, *others, max_steps = values
        surplus = self.surplus(per_epoch)
        if surplus and by_steps:
            epochs = math.ceil((max_steps - surplus) / per_epoch)
        elif surplus:
            max_steps += surplus
        return epochs, per_epoch, *others, max_steps

    def surplus(self, steps_per_epoch: int) -> int:
        """How many more steps were counted than were made in the present size; 0 if the size is the same."""
        return self.step - self.steps_done(steps_per_epoch)
