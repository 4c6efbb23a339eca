"""Heads and losses on the token states of a frozen encoder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from evidence.cells import Cell, Found
from evidence.exams import Exam
from evidence.states import Cached
from llmtuner.mcq.duma_options import DUMA_HEADS, resolve_duma
from llmtuner.mcq.heads import HEADS
from llmtuner.mcq.heads.base import OptionHead
from llmtuner.mcq.objective import Objective
from llmtuner.mcq.settings import AUTO_POOLING, McqSettings
from llmtuner.metrics import map_at_k

BATCH = 32  # questions
WEIGHT_DECAY, WARMUP = 0.01, 0.1  # share of the steps
WIDTH, PASSAGE = 64, "context_question"  # of co-attention on 384-wide states
EPOCHS = {False: 10, True: 3}  # by whether the head reads tokens
RATES = {False: (1e-3, 3e-3, 1e-2), True: (1e-3, 3e-3)}  # one of them is chosen


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

    def run(self, cell: Cell) -> Found:
        """Choose a learning rate on the held-out part of the training questions, train on all of them, score."""
        reads = HEADS[cell.head].reads_tokens
        everything = range(len(self.exam.train))
        kept = [row for row in everything if row not in self.exam.tune]
        tune = sorted(self.exam.tune)
        start = time.process_time()
        tuned = {}
        for rate in RATES[reads]:
            head = self._train(cell, rate, kept)
            scores = self._score(head, self.train, tune)
            tuned[rate] = map_at_k(scores, [self.exam.train[row].answer or 0 for row in tune])
        rate = max(tuned, key=lambda rate: tuned[rate])
        tuning = time.process_time() - start
        head = self._train(cell, rate, everything)
        seconds = time.process_time() - start - tuning
        scores = self._score(head, self.test, range(len(self.exam.test)))
        return Found(scores, seconds, head.count(), {"learning_rate": rate, "tuned_map@3": tuned[rate]})

    def _train(self, cell: Cell, rate: float, rows: Sequence[int]) -> OptionHead:
        torch.manual_seed(cell.seed)
        draw = np.random.default_rng(cell.seed)
        head, reads = self._make(cell), HEADS[cell.head].reads_tokens
        objective = Objective(cell.loss)
        answers = torch.tensor([question.answer or 0 for question in self.exam.train])
        optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
        steps = EPOCHS[reads] * -(-len(rows) // BATCH)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(step / (WARMUP * steps), (steps - step) / ((1 - WARMUP) * steps))
        )
        optimizer.zero_grad()
        for _ in range(EPOCHS[reads]):
            order = draw.permutation(np.array(rows))
            for part, *inputs in self.batches(self.train, order.tolist(), reads_tokens=reads):
                scores_QN = head(*inputs)
                objective(scores_QN, answers[part], inputs[1]).mean().backward()
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
