"""The scores of predictions as a table for the terminal, with baselines that need no model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from llmtuner.data.baselines import DATA, RETRIEVE
from llmtuner.data.predictions import Prediction
from llmtuner.data.problems import quoted, terminal_path
from llmtuner.errors import DataError

LISTED = 5  # ids in a message
NOT_ABOVE = "  not above chance"
Metrics = Mapping[str, float | str]
Key = tuple[str, str]  # data set, id


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Args:
        interval: 95 % interval of MAP@3; None for chance, and for results that were written without one.
    """

    name: str
    map3: float
    accuracy: float
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, name: str, metrics: Metrics, prefix: str, accuracy: str) -> Row:
        """From the keys of predict_results.json that begin with `prefix`."""
        ends = [metrics.get(f"{prefix}_map@3_{end}") for end in ("low", "high")]
        interval = None if None in ends else (float(ends[0] or 0), float(ends[1] or 0))
        return cls(name, float(metrics[f"{prefix}_map@3"]), float(metrics.get(accuracy) or 0), interval)

    @classmethod
    def of_model(cls, name: str, metrics: Metrics) -> Row:
        """A model's row; its accuracy is that of the ranking's first option."""
        return cls.of(name, metrics, "predict", _accuracy_key(metrics))

    def line(self, width: int, chance: float | None) -> str:
        """The row as text; a model or baseline whose interval is not wholly above chance says so."""
        interval = "" if self.interval is None else "[{:.3f}, {:.3f}]".format(*self.interval)
        above = (
            self.interval is None or chance is None or without_last_bits(self.interval[0]) > without_last_bits(chance)
        )
        remark = "" if above else NOT_ABOVE
        return f"{self.name:{width}}{self.map3:>8.3f}{interval:>18}{self.accuracy:>10.3f}{remark}"


# The baselines by their keys in result files, in the order of the table.
BASELINES = {
    "longest": "longest option",
    "place": "most frequent place",
    "passage": "BM25 with context",
    "random": "random",
}
# What a baseline that the models do not share is named after: the source of the contexts, else the models.
_OF_A_SOURCE = {DATA: "BM25 with given contexts", RETRIEVE: "BM25 with retrieved contexts"}
_DEPENDS_ON = {"place": "most frequent place, training data", "passage": "BM25, contexts"}


def print_scores(metrics: Metrics, output_dir: str | os.PathLike[str]) -> None:
    """Print MAP@3 and accuracy of the model and of the baselines."""
    if "predict_map@3" in metrics:
        print("\n".join(["", *score_table({"this model": metrics})]))
        if "predict_accuracy_is" in metrics:
            meaning = f"share of texts that begin with the answer ({metrics['predict_accuracy_is']})"
            print(f"predict_accuracy {metrics['predict_accuracy']:.3f}: {meaning}")
    print(f"Predictions: {terminal_path(os.path.join(output_dir, 'predictions.jsonl'))} and submission.csv beside it\n")


def score_table(models: Mapping[str, Metrics], stating: Mapping[str, Metrics] | None = None) -> list[str]:
    """The lines of a table: one for each model, then the baselines. Accuracy is that of the ranking's first option.

    A baseline is printed once if all models that have it agree, else once for each of its figures, with what it depends
    on: models that were trained on different data have another most frequent place, and only runs with contexts have
    BM25.

    Args:
        models: the contents of predict_results.json by the name to print, all for the same questions
            (`check_same_questions`).
        stating: the same contents of the runs whose baselines are printed; None for the models.
    """
    stating = models if stating is None else stating
    rows = [Row.of_model(name, metrics) for name, metrics in models.items()]
    rows += baseline_rows(stating)
    levels = {
        without_last_bits(metrics["floor_random_map@3"])
        for metrics in stating.values()
        if "floor_random_map@3" in metrics
    }
    chance = float(levels.pop()) if len(levels) == 1 else None
    width = max(16, 2 + max(len(row.name) for row in rows))
    lines = [f"{'':{width}}{'MAP@3':>8}{'95 % interval':>18}{'accuracy':>10}"]
    return lines + [row.line(width, chance) for row in rows]


def baseline_rows(models: Mapping[str, Metrics]) -> list[Row]:
    """The rows of the baselines, as `score_table` prints them."""
    return [row for key, title in BASELINES.items() for row in _baseline_rows(key, title, models)]


def _accuracy_key(metrics: Metrics) -> str:
    return "predict_top1_accuracy" if "predict_top1_accuracy" in metrics else "predict_accuracy"


def _baseline_rows(key: str, title: str, models: Mapping[str, Metrics]) -> Iterator[Row]:
    prefix = f"floor_{key}"
    by_figures: dict[tuple[object, object], list[str]] = {}
    for name, metrics in models.items():
        if f"{prefix}_map@3" in metrics:
            figures = without_last_bits(metrics[f"{prefix}_map@3"]), without_last_bits(metrics[f"{prefix}_accuracy"])
            by_figures.setdefault(figures, []).append(name)
    shared_by_all = len(by_figures) == 1 and (len(models) == 1 or len(next(iter(by_figures.values()))) > 1)
    sources = [_OF_A_SOURCE.get(str(models[names[0]].get(f"{prefix}_from"))) for names in by_figures.values()]
    for names, source in zip(by_figures.values(), sources, strict=True):
        if shared_by_all:
            shown = title
        elif source is not None and sources.count(source) == 1:
            shown = source
        else:
            shown = f"{_DEPENDS_ON.get(key, title)} of {_named(names)}"
        yield Row.of(shown, models[names[0]], prefix, f"{prefix}_accuracy")


def without_last_bits(figure: float | str) -> float:
    """A figure without its last bits, which depend on the order of the rows."""
    return round(float(figure), 12)


def _named(names: Sequence[str]) -> str:
    first, *others = names
    more = f" and {len(others)} more {'row' if len(others) == 1 else 'rows'}" if others else ""
    return f'"{first}"{more}'


def check_same_questions(runs: Mapping[str, Sequence[Prediction]]) -> None:
    """Refuse runs that do not have the same questions: data set, id, right answer, and the digest where it is known.

    Their order does not matter.

    Args:
        runs: the predictions of each run by its name.

    Raises:
        DataError: the first ids that a run repeats, that one run alone has, or for which answers or questions differ.
    """
    (first, expected), *others = ((name, _answers(name, predictions)) for name, predictions in runs.items())
    for name, answers in others:
        for owner, other, missing in (
            (first, name, [key for key in expected if key not in answers]),
            (name, first, [key for key in answers if key not in expected]),
        ):
            if missing:
                raise DataError(
                    f"{other} was scored on other questions than {owner}, and has no id {listed_keys(missing)}; "
                    "compare predictions of the same data sets"
                )
        differing = [key for key, answer in expected.items() if answer != answers[key]]
        if differing:
            raise DataError(
                f"{name} was scored with other answers than {first}, for id {listed_keys(differing)}; predict again "
                "with the same files"
            )
    _check_digests(runs)


def _check_digests(runs: Mapping[str, Sequence[Prediction]]) -> None:
    """Refuse runs of other texts: files without ids number their rows, so that ids and answers may agree."""
    known: dict[Key, tuple[str, str]] = {}  # the digest, and the first run that has it
    for name, predictions in runs.items():
        differing: dict[str, list[Key]] = {}
        for each in predictions:
            key = each.dataset, each.id
            if each.digest is not None and not each.is_of(known.setdefault(key, (each.digest, name))[0]):
                differing.setdefault(known[key][1], []).append(key)
        for first, keys in differing.items():
            raise DataError(
                f"{name} was scored on other questions than {first}, or with options in another order, for id "
                f"{listed_keys(keys)}; compare predictions of the same files"
            )


def _answers(run: str, predictions: Sequence[Prediction]) -> dict[Key, int | None]:
    """The right answers by data set and id.

    Raises:
        DataError: an id is repeated, so its rows cannot be joined with those of another run.
    """
    answers: dict[Key, int | None] = {}
    repeated: dict[Key, None] = {}
    for prediction in predictions:
        key = (prediction.dataset, prediction.id)
        if key in answers:
            repeated[key] = None
        answers[key] = prediction.answer
    if repeated:
        raise DataError(
            f"{run} repeats id {listed_keys(list(repeated))}; give each question an id of its own, and predict again"
        )
    return answers


def listed_keys(keys: Sequence[Key]) -> str:
    """The first ids for a message, each with its data set, and how many more there are."""
    shown = [quoted(name) + (f" of {quoted(dataset)}" if dataset else "") for dataset, name in keys[:LISTED]]
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return ", ".join(shown) + more
