"""The scores of predictions as a table for the terminal, with baselines that need no model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from llmtuner.data.predictions import Prediction
from llmtuner.data.problems import quoted

LISTED = 5  # ids in a message
Metrics = Mapping[str, float | str]
Key = tuple[str, str]  # data set, id
Row = tuple[str, float | str, float | str | None]  # name, MAP@3, accuracy

# The baselines by their keys in result files, in the order of the table.
BASELINES = {
    "longest": "longest option",
    "place": "most frequent place",
    "passage": "BM25 with context",
    "random": "random",
}


def print_scores(metrics: Metrics, output_dir: str | os.PathLike[str]) -> None:
    """Print MAP@3 and accuracy of the model and of the baselines."""
    if "predict_map@3" in metrics:
        print("\n".join(["", *score_table({"this model": metrics})]))
        if "predict_accuracy_is" in metrics:
            meaning = f"share of texts that begin with the answer ({metrics['predict_accuracy_is']})"
            print(f"predict_accuracy {metrics['predict_accuracy']:.3f}: {meaning}")
    print(f"Predictions: {os.path.join(output_dir, 'predictions.jsonl')} and submission.csv beside it\n")


def score_table(models: Mapping[str, Metrics]) -> list[str]:
    """The lines of a table: one for each model, then the baselines. Accuracy is that of the ranking's first option.

    A baseline is printed once if the models that have it agree, else once for each, with the model's name: models that
    were trained on different data have another most frequent place, and only runs with contexts have BM25.

    Args:
        models: the contents of predict_results.json by the name to print, all for the same questions
            (`check_same_questions`).
    """
    rows: list[Row] = [
        (name, metrics["predict_map@3"], metrics.get("predict_top1_accuracy", metrics.get("predict_accuracy")))
        for name, metrics in models.items()
    ]
    for key, title in BASELINES.items():
        rows += _baseline_rows(key, title, models)
    width = max(16, 2 + max(len(name) for name, *_ in rows))
    lines = [f"{'':{width}}{'MAP@3':>8}{'accuracy':>10}"]
    return lines + [f"{name:{width}}{float(map3):>8.3f}{float(accuracy or 0):>10.3f}" for name, map3, accuracy in rows]


def _baseline_rows(key: str, title: str, models: Mapping[str, Metrics]) -> Iterator[Row]:
    map3, accuracy = f"floor_{key}_map@3", f"floor_{key}_accuracy"
    by_model = {name: (metrics[map3], metrics[accuracy]) for name, metrics in models.items() if map3 in metrics}
    if len(set(by_model.values())) == 1 and (len(by_model) > 1 or len(models) == 1):
        yield (title, *next(iter(by_model.values())))
        return
    for name, figures in by_model.items():
        yield (f"{title} ({name})", *figures)


def check_same_questions(runs: Mapping[str, Sequence[Prediction]]) -> None:
    """Refuse runs that do not have the same questions: data set, id and right answer. Their order does not matter.

    Args:
        runs: the predictions of each run by its name.

    Raises:
        ValueError: the first ids that a run repeats, that one run alone has, or for which the answers differ.
    """
    (first, expected), *others = ((name, _answers(name, predictions)) for name, predictions in runs.items())
    for name, answers in others:
        for owner, other, missing in (
            (first, name, [key for key in expected if key not in answers]),
            (name, first, [key for key in answers if key not in expected]),
        ):
            if missing:
                raise ValueError(
                    f"{other} was scored on other questions than {owner}, and has no id {_listed(missing)}; compare "
                    "predictions of the same data sets"
                )
        differing = [key for key, answer in expected.items() if answer != answers[key]]
        if differing:
            raise ValueError(
                f"{name} was scored with other answers than {first}, for id {_listed(differing)}; predict again with "
                "the same files"
            )


def _answers(run: str, predictions: Sequence[Prediction]) -> dict[Key, int | None]:
    """The right answers by data set and id.

    Raises:
        ValueError: an id is repeated, so its rows cannot be joined with those of another run.
    """
    answers: dict[Key, int | None] = {}
    repeated: dict[Key, None] = {}
    for prediction in predictions:
        key = (prediction.dataset, prediction.id)
        if key in answers:
            repeated[key] = None
        answers[key] = prediction.answer
    if repeated:
        raise ValueError(
            f"{run} repeats id {_listed(list(repeated))}; give each question an id of its own, and predict again"
        )
    return answers


def _listed(keys: Sequence[Key]) -> str:
    """The first ids for a message, each with its data set, and how many more there are."""
    shown = [quoted(name) + (f" of {quoted(dataset)}" if dataset else "") for dataset, name in keys[:LISTED]]
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return ", ".join(shown) + more
