"""What a prediction leaves behind: predictions.jsonl and a submission in Kaggle's form."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmtuner.data.question import LETTERS

BEST = 3  # letters a question in Kaggle's submission


@dataclass(frozen=True, slots=True)
class Prediction:
    """The scores of one question.

    Args:
        scores: one number an option before the softmax, in the options' order.
        answer: 0-based index, or None where it is not known.
    """

    id: str
    scores: tuple[float, ...]
    answer: int | None = None
    dataset: str = ""

    @property
    def ranking(self) -> str:
        """Letters, best first; ties go by letter."""
        order = sorted(range(len(self.scores)), key=lambda i: (-self.scores[i], i))
        return "".join(LETTERS[i] for i in order)

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Softmax of the scores over the options."""
        shifted = np.exp(np.asarray(self.scores, dtype=np.float64) - max(self.scores))
        return tuple(float(p) for p in shifted / shifted.sum())


def as_record(prediction: Prediction, *, with_dataset: bool) -> dict[str, object]:
    """The line of predictions.jsonl."""
    letters = LETTERS[: len(prediction.scores)]
    record: dict[str, object] = {
        "id": prediction.id,
        "ranking": list(prediction.ranking),
        "probabilities": dict(zip(letters, prediction.probabilities, strict=True)),
        "scores": dict(zip(letters, prediction.scores, strict=True)),
    }
    if prediction.answer is not None:
        record["answer"] = LETTERS[prediction.answer]
    if with_dataset:
        record["dataset"] = prediction.dataset
    return record


def write_predictions(predictions: Sequence[Prediction], output_dir: str | os.PathLike[str]) -> list[Path]:
    """Write predictions.jsonl and submission.csv, each whole or not at all; return their paths."""
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with_dataset = len({prediction.dataset for prediction in predictions}) > 1
    lines = [json.dumps(as_record(p, with_dataset=with_dataset), ensure_ascii=False) + "\n" for p in predictions]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["id", "prediction"])
    writer.writerows([p.id, " ".join(p.ranking[:BEST])] for p in predictions)
    return [
        _replace(folder / "predictions.jsonl", "".join(lines)),
        _replace(folder / "submission.csv", table.getvalue()),
    ]


def _replace(path: Path, text: str) -> Path:
    """Write beside, then rename: a reader never sees half a file."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    return path
