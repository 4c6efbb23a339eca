"""Stops a training whose gradients are no numbers any more, before they reach the weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback

from llmtuner.errors import RunError

# Under fp16 the loss scale starts too high by design, and steps that overflow are skipped while it comes down.
FP16_PATIENCE = 20


class FiniteGuard(TrainerCallback):
    """Checks all gradients before each optimizer step.

    The Trainer itself logs a non-finite loss as 0.0, trains on and saves weights that are NaN.
    """

    def __init__(self) -> None:
        self._in_a_row = 0

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called with accumulated, unscaled and clipped gradients.

        Raises:
            RunError: they are not finite; under fp16, for the twentieth step in a row.
        """
        model = kwargs.get("model")
        gradients = [] if model is None else [p.grad for p in model.parameters() if p.grad is not None]
        if not gradients:
            return
        norms = torch.stack([gradient.detach().float().norm() for gradient in gradients])
        if bool(torch.isfinite(norms).all()):
            self._in_a_row = 0
            return
        self._in_a_row += 1
        patience = FP16_PATIENCE if args.fp16 else 1
        if self._in_a_row >= patience:
            raise RunError(
                f"the gradients are not finite at step {state.global_step + 1}"
                + (f", for the {patience}th step in a row" if patience > 1 else "")
                + "; nothing was saved after the last checkpoint. Lower --learning_rate, or train in bf16 or fp32"
            )
