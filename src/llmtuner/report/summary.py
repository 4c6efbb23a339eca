"""The scores of a prediction as a table for the terminal, with what needs no model beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping


def print_scores(metrics: Mapping[str, float | str], output_dir: str | os.PathLike[str]) -> None:
    """Print MAP@3 and accuracy of the model, of "always the longest option" and of chance."""
    if "predict_map@3" in metrics:
        print("\n".join(["", *score_table(metrics)]))
    print(f"Predictions: {os.path.join(output_dir, 'predictions.jsonl')} and submission.csv beside it\n")


def score_table(metrics: Mapping[str, float | str]) -> list[str]:
    """The lines of the table; accuracy is top-1 of the ranking."""
    top1 = metrics.get("predict_top1_accuracy", metrics.get("predict_accuracy"))
    rows = [
        ("this model", metrics["predict_map@3"], top1),
        ("longest option", metrics["floor_longest_map@3"], metrics["floor_longest_accuracy"]),
        ("random", metrics["floor_random_map@3"], metrics["floor_random_accuracy"]),
    ]
    lines = [f"{'':16}{'MAP@3':>8}{'accuracy':>10}"]
    lines += [f"{name:16}{float(map3):>8.3f}{float(accuracy or 0):>10.3f}" for name, map3, accuracy in rows]
    if "predict_accuracy_is" in metrics:
        lines.append(f"predict_accuracy {metrics['predict_accuracy']:.3f} is {metrics['predict_accuracy_is']}")
    return lines
