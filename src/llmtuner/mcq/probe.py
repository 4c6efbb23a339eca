"""Measures real steps of a run on its longest batch: memory and seconds. Nothing is saved."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.utils import logging

from llmtuner.mcq.batches import QuestionBatches, Shape
from llmtuner.mcq.questions import Pick
from llmtuner.mcq.trainer import McqTrainer

STEPS = 3  # of the longest batch twice, first to warm up, and of a typical one
_SECONDS = 0.005  # between two looks at the memory of a CPU's process


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes on the device.

    Args:
        activations: what a step needs beside the others.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def needed(self) -> int:
        """All of them at once."""
        return self.weights + self.gradients + self.optimizer + self.activations


def weight_bytes(model: torch.nn.Module) -> int:
    """Bytes of parameters and buffers; tied ones count once."""
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def trained_bytes(model: torch.nn.Module) -> int:
    """Bytes of the parameters that are trained, which is also that of their gradients."""
    return sum(each.numel() * each.element_size() for each in model.parameters() if each.requires_grad)


def optimizer_bytes(optimizer: Any) -> int:
    """Bytes of an optimizer's states."""
    states = getattr(getattr(optimizer, "optimizer", optimizer), "state", {})
    values = [value for state in states.values() for value in state.values() if isinstance(value, torch.Tensor)]
    return sum(value.numel() * value.element_size() for value in values)


@dataclass
class Peak:
    """The most memory that a block needed beyond what was in use at its start, in bytes."""

    bytes: int = 0


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure a block: by the allocator of a GPU, or the process's size on a CPU, which is looked at every 5 ms."""
    gc.collect()
    peak = Peak()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        start = torch.cuda.memory_allocated()
        yield peak
        torch.cuda.synchronize()
        peak.bytes = torch.cuda.max_memory_allocated() - start
        return
    import psutil

    process, stop = psutil.Process(), threading.Event()
    start = most = process.memory_info().rss

    def watch() -> None:
        nonlocal most
        while not stop.wait(_SECONDS):
            most = max(most, process.memory_info().rss)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
        peak.bytes = max(most, process.memory_info().rss) - start


class StepClock(TrainerCallback):
    """The seconds of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._start = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._start = _now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop it."""
        self.seconds.append(_now() - self._start)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of the longest and of a typical batch, and what the longest one needed."""

    longest: float
    typical: float
    footprint: Footprint


def timed_training(trainer: Any, train: Callable[[], Any]) -> Timed:
    """Train the steps of a trainer whose batches are the longest one twice and then a typical one.

    Args:
        trainer: of transformers, its model loaded and no step done.
        train: its `train`.
    """
    clock = StepClock()
    trainer.add_callback(clock)
    weights, gradients = weight_bytes(trainer.model), trained_bytes(trainer.model)
    with _quiet(), peak_memory() as peak:
        train()
    optimizer = optimizer_bytes(trainer.optimizer)
    footprint = Footprint(weights, gradients, optimizer, max(0, peak.bytes - gradients - optimizer))
    return Timed(clock.seconds[1], clock.seconds[2], footprint)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' lines about a training, which is none."""
    before = logging.get_verbosity()
    logging.set_verbosity_warning()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def timed_prediction(model: torch.nn.Module, longest: Callable[[], Any], typical: Callable[[], Any]) -> Timed:
    """Score the longest batch, then a typical one."""
    seconds = []
    with peak_memory() as peak:
        for predict in (longest, typical):
            start = _now()
            predict()
            seconds.append(_now() - start)
    return Timed(seconds[0], seconds[1], Footprint(weight_bytes(model), 0, 0, max(0, peak.bytes)))


def padded(rows: Sequence[int], shapes: Sequence[Shape]) -> int:
    """Tokens of a batch, padding included."""
    return sum(shapes[row][0] for row in rows) * max(shapes[row][1] for row in rows)


def longest_and_typical(batches: Sequence[Sequence[int]], shapes: Sequence[Shape]) -> tuple[list[int], list[int]]:
    """The batch with the most tokens, and the one whose tokens are nearest to the mean."""
    sizes = [padded(rows, shapes) for rows in batches]
    mean = sum(sizes) / len(sizes)
    typical = min(range(len(sizes)), key=lambda place: abs(sizes[place] - mean))
    return list(batches[sizes.index(max(sizes))]), list(batches[typical])


@dataclass
class FixedBatches(QuestionBatches):
    """The given batches, in every epoch."""

    fixed: Sequence[Sequence[int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.fixed)

    def __iter__(self) -> Iterator[list[Pick]]:
        return iter([[Pick(row) for row in rows] for rows in self.fixed])


class ProbeTrainer(McqTrainer):
    """The trainer of a run, with other batches.

    Args:
        fixed: rows of each batch; None for those of the run.
    """

    def __init__(self, *args: Any, fixed: Sequence[Sequence[int]] | None = None, **kwargs: Any) -> None:
        self._fixed = fixed
        super().__init__(*args, **kwargs)

    def _train_batches(self, questions: Any) -> QuestionBatches:
        if self._fixed is None:
            return super()._train_batches(questions)
        return FixedBatches(questions.shapes(self.collator.layout), batch_size=1, fixed=self._fixed)
