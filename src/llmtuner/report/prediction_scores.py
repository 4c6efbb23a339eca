"""The scores of predictions that no model run wrote: blends, out-of-fold predictions, cascades."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmtuner.data.predictions import Prediction
from llmtuner.metrics import Ranks, accuracy, figures, interval_figures, map_at_k, scored_figure
from llmtuner.report.paired import PairedDifference, paired_difference

KINDS = {"map@3": 3, "accuracy": 1}  # the compared metrics: 1/rank up to this rank
TITLES = {"map@3": "MAP@3", "accuracy": "accuracy"}


def measured(predictions: Sequence[Prediction]) -> dict[str, float]:
    """The figures of predict_results.json of questions with an answer; {} if none has one."""
    scores = [each.scores for each in predictions if each.answer is not None]
    answers = [each.answer for each in predictions if each.answer is not None]
    if not answers:
        return {}
    known = {f"predict_{name}": value for name, value in figures(scores, answers).items() if math.isfinite(value)}
    return {**known, **interval_figures("predict", scores, answers), **scored_figure(len(answers), len(predictions))}


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
