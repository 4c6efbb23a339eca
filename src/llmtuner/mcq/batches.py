"""Which questions make a batch: drawn anew each epoch, the same for any number of processes.

With a batch size, the questions of one optimizer step are drawn first and then split, so that 1 x 8, 8 x 1 and two
processes train on the same steps. With a token budget, a batch holds questions of one length class; classes are narrow,
so that a batch has little padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch.utils.data import Sampler

from llmtuner.errors import UserError
from llmtuner.files import sha256_of_json
from llmtuner.mcq.questions import Pick

Shape = tuple[int, int]  # rows of a question, and its longest row
_SHOWN = 12  # digits of a digest
CLASS_WIDTH = 1.03  # longest row of a length class, as a multiple of its shortest


@dataclass
class QuestionBatches(Sampler[list[Pick]]):
    """The batches of one process, epoch by epoch. Iterating draws `epoch`'s order; a callback sets it.

    Args:
        shapes: rows and longest row of each question.
        batch_size: questions per batch; ignored if there is a budget.
        tokens_per_batch: padded tokens that a batch may hold; a longer question gets its own batch.
        accumulation: batches per optimizer step and process.
        rank, world: this process and how many there are.
        seed: of the order.
    """

    shapes: Sequence[Shape]
    batch_size: int
    tokens_per_batch: int | None = None
    accumulation: int = 1
    rank: int = 0
    world: int = 1
    seed: int = 42
    epoch: int = 0
    _classes: list[tuple[np.ndarray, int]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        if not self.shapes:
            raise UserError("there are no questions to train on")
        if self.tokens_per_batch is not None:
            self._classes = _length_classes(self.shapes, self.tokens_per_batch)

    def __len__(self) -> int:
        """Batches per epoch and process, the same in every epoch."""
        if self.tokens_per_batch is not None:
            batches = sum(math.ceil(len(rows) / size) for rows, size in self._classes)
            return math.ceil(batches / self.world)
        whole, rest = divmod(len(self.shapes), self._step_size())
        return whole * self.accumulation + math.ceil(rest / (self.batch_size * self.world))

    def __iter__(self) -> Iterator[list[Pick]]:
        draw = np.random.default_rng([self.seed, self.epoch])
        batches = self._by_tokens(draw) if self.tokens_per_batch is not None else self._by_size(draw)
        filler = [Pick(int(batches[0][0]), counted=False, epoch=self.epoch)]
        for place in range(self.rank, len(self) * self.world, self.world):
            rows = batches[place] if place < len(batches) else []
            yield [Pick(int(row), epoch=self.epoch) for row in rows] or filler

    def order_depends_on(self) -> dict[str, int | str]:
        """Everything that decides which questions come in which optimizer step of an epoch."""
        if self.tokens_per_batch is None:
            size: dict[str, int | str] = {"questions a step": self._step_size()}
        else:
            classes = sha256_of_json([[rows.tolist(), size] for rows, size in self._classes])[:_SHOWN]
            size = {
                "tokens a batch": self.tokens_per_batch,
                "batches a step": self.accumulation * self.world,
                "length classes": classes,  # of the layout's rows
            }
        return {**size, "questions": len(self.shapes), "seed": self.seed}

    def _step_size(self) -> int:
        return self.batch_size * self.accumulation * self.world

    def _by_size(self, draw: np.random.Generator) -> list[Sequence[int]]:
        order = draw.permutation(len(self.shapes))
        batches: list[Sequence[int]] = []
        for begin in range(0, len(order), self._step_size()):
            step = order[begin : begin + self._step_size()]
            # Order within a step does not matter, so questions of similar length may share a batch.
            step = step[np.argsort([self.shapes[row][1] for row in step], kind="stable")]
            parts = math.ceil(len(step) / (self.batch_size * self.world)) * self.world
            batches += [part.tolist() for part in np.array_split(step, parts)]
        return batches

    def _by_tokens(self, draw: np.random.Generator) -> list[Sequence[int]]:
        batches: list[Sequence[int]] = []
        for rows, size in self._classes:
            order = draw.permutation(rows)
            batches += [order[begin : begin + size].tolist() for begin in range(0, len(order), size)]
        return [batches[place] for place in draw.permutation(len(batches))]


def _length_classes(shapes: Sequence[Shape], budget: int) -> list[tuple[np.ndarray, int]]:
    """Questions sorted by length and cut into classes by `CLASS_WIDTH`, with each class's batch size."""
    lengths = np.array([length for _, length in shapes])
    order = np.argsort(lengths, kind="stable")
    classes = []
    begin = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or lengths[order[end]] > CLASS_WIDTH * lengths[order[begin]]:
            rows = order[begin:end]
            largest = max(shapes[row][0] for row in rows) * int(lengths[rows[-1]])
            classes.append((rows, max(1, budget // largest)))
            begin = end
    return classes


def by_length(shapes: Sequence[Shape], *, batch_size: int, tokens_per_batch: int | None = None) -> list[list[int]]:
    """Every question once, in batches of similar length, for scoring.

    Args:
        tokens_per_batch: replaces the batch size.
    """
    batches: list[list[int]] = []
    batch: list[int] = []
    for row in sorted(range(len(shapes)), key=lambda row: shapes[row][1]):
        padded = (sum(shapes[r][0] for r in batch) + shapes[row][0]) * shapes[row][1]
        full = padded > tokens_per_batch if tokens_per_batch else len(batch) == batch_size
        if not batch or full:
            batch = []
            batches.append(batch)
        batch.append(row)
    return batches


def largest_question(shapes: Sequence[Shape]) -> int:
    """Tokens of the largest question, all its rows with their padding. It cannot be divided among batches."""
    return max(rows * length for rows, length in shapes)


def padding_share(batches: Sequence[Sequence[int]], shapes: Sequence[Shape], tokens: Sequence[int]) -> float:
    """The share of a batch list's tokens that is padding.

    Args:
        tokens: tokens of each question, without padding.
    """
    held = sum(sum(shapes[row][0] for row in batch) * max(shapes[row][1] for row in batch) for batch in batches)
    return 1 - sum(tokens[row] for batch in batches for row in batch) / held
