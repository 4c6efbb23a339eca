"""The scores of predictions that no model run wrote: blends, out-of-fold predictions, cascades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from llmtuner.data.prediction_files import RESULTS
from llmtuner.data.predictions import PREDICTIONS, Prediction
from llmtuner.data.problems import terminal_path
from llmtuner.errors import UserError
from llmtuner.metrics import Ranks, accuracy, figures, interval_figures, map_at_k
from llmtuner.report.paired import PairedDifference, paired_difference

KINDS = {"map@3": 3, "accuracy": 1}  # the compared metrics: 1/rank up to this rank
_EQUAL = 1e-6  # two ways to sum the same figures
TITLES = {"map@3": "MAP@3", "accuracy": "accuracy"}


def measured(predictions: Sequence[Prediction]) -> dict[str, float]:
    """The figures of predict_results.json of questions with an answer; {} if none has one."""
    scores = [each.scores for each in predictions if each.answer is not None]
    answers = [each.answer for each in predictions if each.answer is not None]
    if not answers:
        return {}
    known = {f"predict_{name}": value for name, value in figures(scores, answers).items() if math.isfinite(value)}
    return {**known, **interval_figures("predict", scores, answers)}


def check_stated_score(folder: Path, stated: object, predictions: Sequence[Prediction]) -> None:
    """Refuse a stated score that is not that of the predictions beside it.

    Args:
        folder: of the prediction.
        stated: `predict_map@3` of its predict_results.json; anything but a number is not compared.

    Raises:
        UserError: the two files are of different runs.
    """
    known = [each for each in predictions if each.answer is not None]
    if not isinstance(stated, int | float) or not known:
        return
    score = map_at_k([each.scores for each in known], [int(each.answer) for each in known if each.answer is not None])
    if abs(score - stated) > _EQUAL:
        raise UserError(
            f"{terminal_path(folder / RESULTS)}: predict_map@3 is {stated:.4f}, but {PREDICTIONS} gives {score:.4f}: "
            "they are of different runs; predict again"
        )


def random_baseline(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Chance, from the numbers of options; {} without answers."""
    counts = [len(each.scores) for each in predictions if each.answer is not None]
    if not counts:
        return {}
    even, firsts = [[0.0] * count for count in counts], [0] * len(counts)
    return {"floor_random_map@3": map_at_k(even, firsts), "floor_random_accuracy": accuracy(even, firsts)}


def differences(first: Sequence[Prediction], second: Sequence[Prediction]) -> dict[str, PairedDifference]:
    """The first's figures minus the second's by metric, paired by question; {} with fewer than two answers."""
    values = []
    for predictions in (first, second):
        known = sorted((p for p in predictions if p.answer is not None), key=lambda p: (p.dataset, p.id))
        values.append(Ranks.of([p.scores for p in known], [p.answer for p in known if p.answer is not None]))
    if len(values[0].above_Q) < 2:
        return {}
    return {name: paired_difference(values[0].reciprocal(k), values[1].reciprocal(k)) for name, k in KINDS.items()}


def difference_line(metric: str, first: str, second: str, each: PairedDifference, questions: int) -> str:
    """A difference with its interval and p for the terminal."""
    interval = f"[{each.low:+.3f}, {each.high:+.3f}] (95 %, {questions:,} questions)"
    return f"{TITLES[metric]} of {first} - {second}: {each.difference:+.3f} {interval}, p {each.p:.4f}"
