"""A loss or gradient that became NaN or Inf stops a training; a loss scale that is still decreasing does not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from llmtuner.errors import RunError
from llmtuner.mcq.finite import FP16_PATIENCE, FiniteGuard


def step(guard: FiniteGuard, value: float, *, fp16: bool = False) -> None:
    model = torch.nn.Linear(2, 2)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, value)
    guard.on_pre_optimizer_step(SimpleNamespace(fp16=fp16), SimpleNamespace(global_step=6), None, model=model)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_step_is_named(value):
    guard = FiniteGuard()
    step(guard, 1.0)
    with pytest.raises(RunError, match="gradients became NaN or Inf at step 7"):
        step(guard, value)


def test_fp16_overflows_while_its_scale_comes_down():
    guard = FiniteGuard()
    for _ in range(3):
        for _ in range(FP16_PATIENCE - 1):
            step(guard, float("inf"), fp16=True)
        step(guard, 1.0, fp16=True)
    for _ in range(FP16_PATIENCE - 1):
        step(guard, float("nan"), fp16=True)
    with pytest.raises(RunError, match=f"for the {FP16_PATIENCE}th step in a row"):
        step(guard, float("nan"), fp16=True)


def test_a_model_without_gradients_is_left_alone():
    FiniteGuard().on_pre_optimizer_step(SimpleNamespace(fp16=False), SimpleNamespace(global_step=0), None, model=None)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_is_checked_before_the_gradients_and_named_by_its_own_batch(value):
    """Reading each batch's loss cost one device synchronisation per batch; now it is one per step."""
    losses = [(torch.tensor(1.0), lambda: "the first batch"), (torch.tensor(value), lambda: "the second batch")]
    guard = FiniteGuard(lambda: losses)
    with pytest.raises(RunError, match="the second batch"):
        step(guard, float("nan"), fp16=True)
    losses[1] = losses[0]
    step(guard, 1.0)
