"""What is compared, and its results: one small file a training, so that a comparison can stop and go on."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BASELINE = ("linear", "cross_entropy")  # STEP2


@dataclass(frozen=True)
class Cell:
    """One training.

    Args:
        stage: "frozen", "encoder" or "causal".
        exam: its questions.
    """

    stage: str
    exam: str
    head: str
    loss: str
    seed: int

    @property
    def name(self) -> str:
        """What a table calls the combination."""
        return f"{self.head} + {self.loss}"

    def path(self, folder: Path) -> Path:
        """Where its results are."""
        loss = self.loss.replace(":", "_").replace("+", "__")
        return folder / self.stage / self.exam / f"{self.head}-{loss}-{self.seed}.json"


@dataclass(frozen=True)
class Found:
    """What a training gave.

    Args:
        scores: of the options of each test question.
        seconds: of processor time, or of the clock where other processes did the work; of the training alone.
        parameters: of the head.
        more: settings that were chosen.
    """

    scores: list[list[float]]
    seconds: float
    parameters: int
    more: dict[str, Any] = field(default_factory=dict)


def save(found: Found, cell: Cell, folder: Path) -> None:
    """Write a cell's results, whole or not at all."""
    path = cell.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_text(json.dumps({**vars(cell), **vars(found)}))
    os.replace(beside, path)


def load_all(folder: Path) -> dict[Cell, Found]:
    """Everything that has been computed."""
    found = {}
    for path in sorted(folder.glob("*/*/*.json")):
        stored = json.loads(path.read_text())
        cell = Cell(**{name: stored.pop(name) for name in Cell.__annotations__})
        found[cell] = Found(**stored)
    return found
