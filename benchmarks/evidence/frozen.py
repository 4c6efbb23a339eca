"""Heads and losses on the token states of a frozen encoder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from evidence.cells import WIDTH, Cell, Found, warmup
from evidence.exams import Exam
from evidence.states import Cached
from llmtuner.mcq.duma_options import DUMA_HEADS, resolve_duma
from llmtuner.mcq.heads import HEADS
from llmtuner.mcq.heads.base import OptionHead
from llmtuner.mcq.objective import Objective
from llmtuner.mcq.settings import AUTO_POOLING, McqSettings
from llmtuner.metrics import map_at_k

BATCH, EPOCHS = 32, 3  # questions; the same for all heads
WEIGHT_DECAY, WARMUP = 0.01, 0.1  # share of the steps
PASSAGE = "context_question"
RATES = (3e-4, 1e-3, 3e-3)  # one of them is chosen for each head and loss, with the first seed


@dataclass
class FrozenExam:
    """An exam with its token states."""

    exam: Exam
    train: Cached
    test: Cached
    config: dict[str, Any]
    _features: dict[int, Any] = field(default_factory=dict)

    def batches(self, cached: Cached, rows: Sequence[int], *, reads_tokens: bool) -> Iterator[tuple[Any, ...]]:
        """Batches of rows in their order, without token states where they are not read."""
        pooling = AUTO_POOLING["encoder"]
        for begin in range(0, len(rows), BATCH):
            part = list(rows[begin : begin + BATCH])
            if reads_tokens:
                yield part, *cached.batch(part, pooling, PASSAGE)
            else:
                features, there = self._pooled(cached, pooling)
                yield part, features[part], there[part], None, None

    def _pooled(self, cached: Cached, pooling: str) -> tuple[torch.Tensor, torch.Tensor]:
        if id(cached) not in self._features:
            self._features[id(cached)] = cached.pooled(pooling)
        return self._features[id(cached)]

    def run(self, cell: Cell, rate: float | None = None) -> Found:
        """Train on all training questions and score the test questions.

        Args:
            rate: None for the one that is best on the held-out part of the training questions.
        """
        tuned = {} if rate is not None else {rate: self._tune(cell, rate) for rate in RATES}
        rate = rate or max(tuned, key=lambda rate: tuned[rate])
        start = time.process_time()
        head = self._train(cell, rate, range(len(self.exam.train)))
        seconds = time.process_time() - start
        scores = self._score(head, self.test, range(len(self.exam.test)))
        more = {"learning_rate": rate, **({"tuned_map@3": tuned[rate]} if tuned else {})}
        return Found(scores, seconds, head.count(), more)

    def _tune(self, cell: Cell, rate: float) -> float:
        """MAP@3 on the held-out part of the training questions."""
        kept = [row for row in range(len(self.exam.train)) if row not in self.exam.tune]
        tune = sorted(self.exam.tune)
        scores = self._score(self._train(cell, rate, kept), self.train, tune)
        return map_at_k(scores, [self.exam.train[row].answer or 0 for row in tune])

    def _train(self, cell: Cell, rate: float, rows: Sequence[int]) -> OptionHead:
        torch.manual_seed(cell.seed)
        draw = np.random.default_rng(cell.seed)
        head, reads = self._make(cell), HEADS[cell.head].reads_tokens
        objective = Objective(cell.loss, warmup_ratio=warmup(cell.loss))
        answers = torch.tensor([question.answer or 0 for question in self.exam.train])
        optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
        steps = EPOCHS * -(-len(rows) // BATCH)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(step / (WARMUP * steps), (steps - step) / ((1 - WARMUP) * steps))
        )
        optimizer.zero_grad()
        for _ in range(EPOCHS):
            order = draw.permutation(np.array(rows))
            for part, *inputs in self.batches(self.train, order.tolist(), reads_tokens=reads):
                scores_QN = head(*inputs)
                progress = schedule.last_epoch / steps
                objective(scores_QN, answers[part], inputs[1], progress).mean().backward()
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
        return head.eval()

    def _make(self, cell: Cell) -> OptionHead:
        duma = resolve_duma({"mcq_duma_width": WIDTH}, self.config) if cell.head in DUMA_HEADS else {}
        return HEADS[cell.head].make(self.config["hidden_size"], McqSettings(head=cell.head, duma=duma))

    @torch.inference_mode()
    def _score(self, head: OptionHead, cached: Cached, rows: Sequence[int]) -> list[list[float]]:
        scores: list[list[float]] = []
        for _, *inputs in self.batches(cached, rows, reads_tokens=type(head).reads_tokens):
            scores += [row[there].tolist() for row, there in zip(head(*inputs), inputs[1], strict=True)]
        return scores
