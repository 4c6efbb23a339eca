"""The scores of predictions as a table for the terminal, with baselines that need no model."""

from __future__ import annotations

import os
from collections.abc import Mapping

Metrics = Mapping[str, float | str]


def print_scores(metrics: Metrics, output_dir: str | os.PathLike[str]) -> None:
    """Print MAP@3 and accuracy of the model and of two baselines: the longest option, and chance."""
    if "predict_map@3" in metrics:
        print("\n".join(["", *score_table({"this model": metrics})]))
        if "predict_accuracy_is" in metrics:
            print(f"predict_accuracy {metrics['predict_accuracy']:.3f} is {metrics['predict_accuracy_is']}")
    print(f"Predictions: {os.path.join(output_dir, 'predictions.jsonl')} and submission.csv beside it\n")


def score_table(models: Mapping[str, Metrics]) -> list[str]:
    """The lines of a table: one for each model, then the baselines. Accuracy is that of the ranking's first option.

    Args:
        models: the contents of predict_results.json by the name to print, all for the same questions.

    Raises:
        ValueError: the baselines differ, so the models were scored on different questions.
    """
    first = next(iter(models.values()))
    for name, metrics in models.items():
        if any(metrics[key] != first[key] for key in first if key.startswith("floor_")):
            raise ValueError(f"{name} was scored on other questions than {next(iter(models))}: their baselines differ")
    rows = [
        (name, metrics["predict_map@3"], metrics.get("predict_top1_accuracy", metrics.get("predict_accuracy")))
        for name, metrics in models.items()
    ]
    rows.append(("longest option", first["floor_longest_map@3"], first["floor_longest_accuracy"]))
    rows.append(("random", first["floor_random_map@3"], first["floor_random_accuracy"]))
    width = max(16, 2 + max(len(name) for name, *_ in rows))
    lines = [f"{'':{width}}{'MAP@3':>8}{'accuracy':>10}"]
    return lines + [f"{name:{width}}{float(map3):>8.3f}{float(accuracy or 0):>10.3f}" for name, map3, accuracy in rows]
