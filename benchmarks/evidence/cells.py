"""Trainings and their results: a small file for each, so that a comparison can be stopped and continued."""

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
# Bounded losses must not start a training (see their docstrings): the first steps use cross-entropy.
WARMED, WARMUP = ("approx_map3", "expected_map3"), 0.3
WIDTH = 64  # of the co-attention on frozen states, where nothing else is trained; elsewhere the default


@dataclass(frozen=True)
class Cell:
    """One training.

    Args:
        stage: "frozen", "encoder" or "causal".
        exam: the name of its questions.
    """

    stage: str
    exam: str
    head: str
    loss: str
    seed: int

    @property
    def name(self) -> str:
        """The name of the combination in tables."""
        return f"{self.head} + {self.loss}"

    def path(self, folder: Path) -> Path:
        """The file of its results."""
        loss = self.loss.replace(":", "_").replace("+", "__")
        return folder / self.stage / self.exam / f"{self.head}-{loss}-{self.seed}.json"


@dataclass(frozen=True)
class Result:
    """The result of a training.

    Args:
        scores: of the options of each test question.
        seconds: of the training without the scoring: CPU time, or wall time where another process did the work.
        parameters: of the head.
        more: settings that were chosen.
        commit: of the code.
        machine: the hardware of the training.
    """

    scores: list[list[float]]
    seconds: float
    parameters: int
    more: dict[str, Any] = field(default_factory=dict)
    commit: str = field(default_factory=commit)
    machine: str = field(default_factory=hardware)


def warmup(loss: str) -> float:
    """The share of the steps, from the start, that use cross-entropy."""
    return WARMUP if any(term.name in WARMED for term in parse_loss(loss)) else 0.0


def claim(folder: Path, about: dict[str, Any]) -> None:
    """Record the models and settings of a work folder, which may have results for one set of them only.

    Raises:
        SystemExit: the folder has results of a different model or setting.
    """
    path = folder / "about.json"
    folder.mkdir(parents=True, exist_ok=True)
    stored = json.loads(path.read_text()) if path.is_file() else {}
    for name, value in about.items():
        if name in stored and stored[name] != value:
            raise SystemExit(
                f"error: --work {folder}: has results for {name} {stored[name]}, not for {value}; pass another --work"
            )
    path.write_text(json.dumps(stored | about, indent=1))


def fingerprint(paths: Iterable[Path]) -> str:
    """A hash of the names and contents of files, to notice predictions for an earlier version of a file."""
    lines = [f"{path.name} {sha256_of_file(path)}\n" for path in sorted(paths)]
    return sha256_of_bytes("".join(lines).encode())[:16]


def save(result: Result, cell: Cell, folder: Path) -> None:
    """Write the result of a cell, completely or not at all."""
    path = cell.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps({**vars(cell), **vars(result)}))


def load(path: Path) -> Result:
    """The result of a cell, from its file."""
    return _parsed(path)[1]


def load_all(folder: Path) -> dict[Cell, Result]:
    """All stored results."""
    return dict(_parsed(path) for path in sorted(folder.glob("*/*/*.json")))


def _parsed(path: Path) -> tuple[Cell, Result]:
    stored = json.loads(path.read_text())
    cell = Cell(**{name: stored.pop(name) for name in Cell.__annotations__})
    return cell, Result(**stored)
