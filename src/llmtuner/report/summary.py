"""The scores of predictions as a table for the terminal, with what needs no model beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping

Metrics = Mapping[str, float | str]


def print_scores(metrics: Metrics, output_dir: str | os.PathLike[str]) -> None:
    """Print MAP@3 and accuracy of the model, of "always the longest option" and of chance."""
    if "predict_map@3" in metrics:
        print("\n".join(["", *score_table({"this model": metrics})]))
        if "predict_accuracy_is" in metrics:
            print(f"predict_accuracy {metrics['predict_accuracy']:.3f} is {metrics['predict_accuracy_is']}")
    print(f"Predictions: {os.path.join(output_dir, 'predictions.jsonl')} and submission.csv beside it\n")


def score_table(models: Mapping[str, Metrics]) -> list[str]:
    """The lines of a table: a model each, then the floors; accuracy is top-1 of the ranking.

    Args:
        models: what predict_results.json holds, by the name to print; all of the same questions.

    Raises:
        ValueError: the floors differ, so that the models were scored on different questions.
    """
    first = next(iter(models.values()))
    for name, metrics in models.items():
        if any(metrics[floor] != first[floor] for floor in first if floor.startswith("floor_")):
            raise ValueError(f"{name} was scored on other questions than {next(iter(models))}: their floors differ")
    rows = [
        (name, metrics["predict_map@3"], metrics.get("predict_top1_accuracy", metrics.get("predict_accuracy")))
        for name, metrics in models.items()
    ]
    rows.append(("longest option", first["floor_longest_map@3"], first["floor_longest_accuracy"]))
    rows.append(("random", first["floor_random_map@3"], first["floor_random_accuracy"]))
    width = max(16, 2 + max(len(name) for name, *_ in rows))
    lines = [f"{'':{width}}{'MAP@3':>8}{'accuracy':>10}"]
    return lines + [f"{name:{width}}{float(map3):>8.3f}{float(right or 0):>10.3f}" for name, map3, right in rows]
