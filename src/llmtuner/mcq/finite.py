"""Stops a training whose loss or gradients became NaN or Inf, before they reach the weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import TrainerCallback

from llmtuner.errors import RunError
from llmtuner.mcq.bad_weights import refuse_bad_weights

# Under fp16 the loss scale starts too high by design, and steps that overflow are skipped until it has come down.
FP16_PATIENCE = 20


# A batch's loss, and a message with its questions in case the loss is not finite.
StepLoss = tuple[torch.Tensor, Callable[[], str]]


class FiniteGuard(TrainerCallback):
    """Checks an optimizer step's losses and gradients before they reach the weights, with one read from the device.

    The Trainer itself logs a non-finite loss as 0.0, trains on and saves weights that are NaN.

    Args:
        take_losses: returns the losses of the step's batches and clears them; without it, only gradients are checked.
    """

    def __init__(self, take_losses: Callable[[], list[StepLoss]] | None = None) -> None:
        self._take_losses = take_losses or list
        self._in_a_row = 0

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called with accumulated, unscaled and clipped gradients.

        Raises:
            RunError: a loss or a gradient is not finite; under fp16, gradients in the twentieth step in a row.
            UserError: so are weights, as they were loaded.
        """
        losses = self._take_losses()
        model = kwargs.get("model")
        gradients = [] if model is None else [p.grad for p in model.parameters() if p.grad is not None]
        norms = [gradient.detach().float().norm() for gradient in gradients]
        numbers = [*(loss.float().to(norms[0].device if norms else loss.device) for loss, _ in losses), *norms]
        if not numbers:
            return
        finite = torch.isfinite(torch.stack(numbers)).tolist()
        for (_, message), is_finite in zip(losses, finite, strict=False):
            if not is_finite:
                refuse_bad_weights(model, trained=state.global_step > 0)
                raise RunError(message())
        if all(finite):
            self._in_a_row = 0
            return
        self._in_a_row += 1
        patience = FP16_PATIENCE if args.fp16 else 1
        if self._in_a_row >= patience:
            refuse_bad_weights(model, trained=state.global_step > 0)
            raise RunError(
                f"the gradients became NaN or Inf at step {state.global_step + 1}"
                + (f", for the {patience}th step in a row" if patience > 1 else "")
                + "; nothing was saved after the last checkpoint. Lower `learning_rate`, or train in bf16 or fp32"
            )
