"""What is compared, and its results: one small file a training, so that a comparison can stop and go on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provenance import commit, hardware

from llmtuner.files import sha256_of_bytes, sha256_of_file, write_atomic
from llmtuner.mcq.objective import parse_loss

BASELINE = ("linear", "cross_entropy")  # STEP2
# Losses that are bounded must not start a training (their docstrings): these begin with cross-entropy.
WARMED, WARMUP = ("approx_map3", "expected_map3"), 0.3
WIDTH = 64  # of the co-attention on frozen states, where it is all that is trained; elsewhere the default


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
        seconds: of the training alone: of processor time, or of the clock where another process did the work.
        parameters: of the head.
        more: settings that were chosen.
        commit: of the code that made it.
        machine: what it ran on.
    """

    scores: list[list[float]]
    seconds: float
    parameters: int
    more: dict[str, Any] = field(default_factory=dict)
    commit: str = field(default_factory=commit)
    machine: str = field(default_factory=hardware)


def warmup(loss: str) -> float:
    """The share of the steps that begin with cross-entropy."""
    return WARMUP if any(term.name in WARMED for term in parse_loss(loss)) else 0.0


def claim(folder: Path, about: dict[str, Any]) -> None:
    """Keep a folder's results to one set of models and settings.

    Raises:
        SystemExit: it holds results of others.
    """
    path = folder / "about.json"
    folder.mkdir(parents=True, exist_ok=True)
    stored = json.loads(path.read_text()) if path.is_file() else {}
    for name, value in about.items():
        if name in stored and stored[name] != value:
            raise SystemExit(
                f"error: {folder} has results of {name} {stored[name]}, and this is {value}; pass another --work"
            )
    path.write_text(json.dumps(stored | about, indent=1))


def fingerprint(paths: Iterable[Path]) -> str:
    """Of files' names and contents: predictions for a file are worth nothing for another one of its name."""
    lines = [f"{path.name} {sha256_of_file(path)}\n" for path in sorted(paths)]
    return sha256_of_bytes("".join(lines).encode())[:16]


def save(found: Found, cell: Cell, folder: Path) -> None:
    """Write a cell's results, whole or not at all."""
    path = cell.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps({**vars(cell), **vars(found)}))


def load(path: Path) -> Found:
    """A cell's results from their file."""
    return _parsed(path)[1]


def load_all(folder: Path) -> dict[Cell, Found]:
    """Everything that has been computed."""
    return dict(_parsed(path) for path in sorted(folder.glob("*/*/*.json")))


def _parsed(path: Path) -> tuple[Cell, Found]:
    stored = json.loads(path.read_text())
    cell = Cell(**{name: stored.pop(name) for name in Cell.__annotations__})
    return cell, Found(**stored)
