"""Heads and losses on the token states of a frozen encoder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from provenance import hardware

from evidence.cells import WIDTH, Cell, Result, warmup
from evidence.exams import Exam
from evidence.states import Cached
from llmtuner.mcq.choices import AUTO_POOLING
from llmtuner.mcq.duma_options import resolve_duma
from llmtuner.mcq.heads import HEADS
from llmtuner.mcq.heads.base import OptionHead
from llmtuner.mcq.losses.criterion import Criterion
from llmtuner.mcq.objective import Objective
from llmtuner.mcq.settings import McqSettings
from llmtuner.metrics import map_at_k
from llmtuner.spec.flags import CO_ATTENTION

BATCH, EPOCHS = 32, 3  # questions; the same for all heads
POOL = 16 * BATCH  # questions that are sorted by length and cut into batches
WEIGHT_DECAY, WARMUP = 0.01, 0.1  # share of the steps
PASSAGE = "context_question"
# The first seed chooses a rate for each head and loss. If the best rate is the smallest or the largest, the next one is
# tried, too, up to MOST_RATES. Heads without hidden layers need larger rates: a linear head ends 0.025 MAP@3 lower at
# 3e-3 than at 3e-2, and everything else would look like a gain.
_LINEAR, _ATTENTION = (3e-3, 1e-2, 3e-2, 1e-1, 3e-1), (3e-4, 1e-3, 3e-3, 1e-2)
RATES = {"linear": _LINEAR, "option_mean": _LINEAR, "duma": _ATTENTION, "cduma": _ATTENTION}
MOST_RATES = 8


@dataclass
class FrozenExam:
    """An exam with its token states."""

    exam: Exam
    train: Cached
    test: Cached
    config: dict[str, Any]
    _cache: dict[tuple[int, bool], Any] = field(default_factory=dict)

    def inputs(self, cached: Cached, rows: Sequence[int], *, reads_tokens: bool) -> tuple[Any, ...]:
        """The inputs of a head for these questions: features, mask, and the states of both spans."""
        features, mask = (tensor[rows] for tensor in self._once(cached, False))
        most = int(mask.sum(-1).max())  # other questions of the exam may have more options
        features, mask = features[:, :most], mask[:, :most]
        if not reads_tokens:
            return features, mask, None, None
        spans = self._once(cached, True)
        return features, mask, *(cached.gather([spans[row][place] for row in rows]) for place in (0, 1))

    def _once(self, cached: Cached, spans: bool) -> Any:
        key = (id(cached), spans)
        if key not in self._cache:
            self._cache[key] = cached.spans(PASSAGE) if spans else cached.pooled(AUTO_POOLING["encoder"])
        return self._cache[key]

    def run(self, cell: Cell, rate: float | None = None) -> Result:
        """Train on the training questions without the tuning questions, and score the test questions.

        Args:
            rate: learning rate; None for the best one on the tuning questions.
        """
        tune = sorted(self.exam.tune)
        answers = [self.exam.train[row].answer or 0 for row in tune]
        trained, tuned = {}, {}
        untried = list(RATES[cell.head]) if rate is None else [rate]
        while untried:
            for tried in untried:
                start = time.process_time()
                head = self._train(cell, tried)
                trained[tried] = head, time.process_time() - start
                tuned[tried] = map_at_k(self._score(head, self.train, tune), answers)
            untried = further_rates(tuned) if rate is None else []
        rate = max(tuned, key=lambda tried: tuned[tried])
        head, seconds = trained[rate]
        scores = self._score(head, self.test, range(len(self.exam.test)))
        more = {"learning_rate": rate, "tuned_map@3": tuned[rate], "tried": {str(k): v for k, v in tuned.items()}}
        return Result(scores, seconds, head.count(), more, machine=hardware(self.train.device))

    def _train(self, cell: Cell, rate: float) -> OptionHead:
        rows = [row for row in range(len(self.exam.train)) if row not in self.exam.tune]
        torch.manual_seed(cell.seed)
        rng = np.random.default_rng(cell.seed)
        head, reads = self._make(cell), HEADS[cell.head].reads_tokens
        criterion = Criterion(Objective(cell.loss, warmup_ratio=warmup(cell.loss)))
        answers = torch.tensor([question.answer or 0 for question in self.exam.train], device=self.train.device)
        optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
        steps = EPOCHS * -(-len(rows) // BATCH)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(step / (WARMUP * steps), (steps - step) / ((1 - WARMUP) * steps))
        )
        optimizer.zero_grad()
        for _ in range(EPOCHS):
            for part in _epoch_batches(rows, self.train.lengths, rng):
                inputs = self.inputs(self.train, part, reads_tokens=reads)
                progress = schedule.last_epoch / steps
                criterion(head(*inputs), answers[part], inputs[1], progress).mean().backward()
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
        if self.train.device != "cpu":
            torch.cuda.synchronize()  # the time must include the queued work
        return head.eval()

    def _make(self, cell: Cell) -> OptionHead:
        duma = resolve_duma({"width": WIDTH}, self.config) if cell.head in CO_ATTENTION else None
        head = HEADS[cell.head].make(self.config["hidden_size"], McqSettings(head=cell.head, duma=duma))
        return head.to(self.train.device)

    @torch.inference_mode()
    def _score(self, head: OptionHead, cached: Cached, rows: Sequence[int]) -> list[list[float]]:
        ordered = sorted(rows, key=lambda row: cached.lengths[row])
        scores: dict[int, list[float]] = {}
        for begin in range(0, len(ordered), BATCH):
            part = ordered[begin : begin + BATCH]
            inputs = self.inputs(cached, part, reads_tokens=type(head).reads_tokens)
            for row, scores_N, mask_N in zip(part, head(*inputs), inputs[1], strict=True):
                scores[row] = scores_N[mask_N].tolist()
        return [scores[row] for row in rows]


def further_rates(tuned: Mapping[float, float]) -> list[float]:
    """The next rate in the series 1, 3, 10 if the best rate so far is the smallest or the largest."""
    best = max(tuned, key=lambda tried: tuned[tried])
    one = f"{best:e}".startswith("1")
    if len(tuned) >= MOST_RATES or min(tuned) < best < max(tuned):
        return []
    step = (3 if one else 10 / 3) if best == max(tuned) else (3 / 10 if one else 1 / 3)
    return [float(f"{best * step:.0e}")]


def _epoch_batches(rows: Sequence[int], lengths: Sequence[int], rng: np.random.Generator) -> list[list[int]]:
    """The batches of an epoch: random pools of questions, each cut by length, so that batches have little padding."""
    order = rng.permutation(np.array(rows)).tolist()
    pools = [sorted(order[begin : begin + POOL], key=lambda row: lengths[row]) for begin in range(0, len(order), POOL)]
    batches = [pool[begin : begin + BATCH] for pool in pools for begin in range(0, len(pool), BATCH)]
    return [batches[place] for place in rng.permutation(len(batches))]
