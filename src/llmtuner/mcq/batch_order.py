"""Tells the batches which epoch begins, and checks that a resumed epoch has the same batch order."""

from __future__ import annotations

import logging
from typing import Any

from transformers import TrainerCallback

from llmtuner.mcq.batches import QuestionBatches

logger = logging.getLogger("llmtuner.mcq")
STORED_AS = "mcq_dealt_by"  # in trainer_state.json, among the callbacks' states; no callback is made from it
SHUFFLED_BY = "options shuffled by"


class BatchOrder(TrainerCallback):
    """Tells the batches which epoch begins. (Resuming wraps the data loader, so that its own `set_epoch` is lost.)

    Everything that decides the batch order is saved with each checkpoint. A run that resumes within an epoch skips the
    batches that are done; with a different order it would silently repeat some questions and miss others. What decides
    the order of shuffled options is saved with it.

    Args:
        shuffles: whether the options of each question are permuted.
    """

    def __init__(self, batches: QuestionBatches, *, shuffles: bool = False) -> None:
        self._batches = batches
        self._shuffled: dict[str, int | str] = {SHUFFLED_BY: "content"} if shuffles else {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Warn if an epoch resumes with a different batch order; the next checkpoint stores the new one."""
        stored, now = state.stateful_callbacks.get(STORED_AS), self._batches.order_depends_on()
        state.stateful_callbacks[STORED_AS] = now | self._shuffled
        if not stored or not args.should_log:
            return
        if self._shuffled and SHUFFLED_BY not in stored:
            logger.warning(
                "the checkpoint is of an earlier version, which drew the order of the options by the name of the data "
                "file: from here on they have other orders, and the weights will differ from those of that version"
            )
        before = {name: value for name, value in stored.items() if name != SHUFFLED_BY}
        within = (state.epoch or 0) % 1
        # An earlier version did not store everything.
        differs = any(now.get(name) != value for name, value in before.items())
        if differs and 1e-6 < within < 1 - 1e-6 and not args.ignore_data_skip:
            changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
            then = ", ".join(f"{name} {before.get(name)} then, {now.get(name)} now" for name in changed)
            logger.warning(
                "epoch %d resumes with a different batch order (%s): the rest of the epoch repeats some questions and "
                "omits others; later epochs have every question once",
                int(state.epoch) + 1,
                then,
            )

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell the batches the epoch. It is a whole number at the start of an epoch, a fraction if resumed within."""
        # state.epoch comes from a division: slightly below a whole number must not become the previous epoch.
        self._batches.epoch = int((state.epoch or 0) + 1e-6)
