"""The runs that are blended: read, checked, and joined by data set and id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.data.predictions import PREDICTIONS, Prediction, read_predictions
from llmtuner.data.problems import terminal_path
from llmtuner.errors import UserError
from llmtuner.files import sha256_of_file
from llmtuner.report.stated_scores import check_stated_score, read_stated
from llmtuner.report.summary import check_same_questions, listed_keys
from llmtuner.spec.model_files import PREDICT_RESULTS


@dataclass(frozen=True)
class Part:
    """One run of a blend.

    Args:
        name: for tables: the folder's name, or its path where two folders have the same name.
        predictions: in the order of the first part's questions.
        sha256: of its predictions.jsonl.
        stated: its predict_results.json.
    """

    name: str
    folder: Path
    predictions: tuple[Prediction, ...]
    sha256: str
    stated: Mapping[str, Any]


def read_parts(folders: Sequence[Path]) -> list[Part]:
    """Read runs of the same questions; the rows of all are in the order of the first.

    Raises:
        OSError: a file cannot be read.
        ValueError: a folder is given twice or holds no finished prediction, an id is repeated, or the runs differ in
            their questions, right answers or numbers of options; the message names ids.
    """
    resolved = [folder.resolve() for folder in folders]
    repeated = [folder for place, folder in enumerate(folders) if resolved[place] in resolved[:place]]
    if repeated:
        raise UserError(f"{terminal_path(repeated[0])}: given twice; for a larger share, use --weights")
    names = _names(folders)
    stated, runs = {}, {}
    for name, folder in zip(names, folders, strict=True):
        stated[name], runs[name] = _read(folder)
    check_same_questions(runs)
    order = [(prediction.dataset, prediction.id) for prediction in runs[names[0]]]
    joined = {name: _in_order(predictions, order) for name, predictions in runs.items()}
    _check_options(joined)
    return [
        Part(name, folder, joined[name], sha256_of_file(folder / PREDICTIONS), stated[name])
        for name, folder in zip(names, folders, strict=True)
    ]


def _names(folders: Sequence[Path]) -> list[str]:
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _read(folder: Path) -> tuple[Mapping[str, Any], list[Prediction]]:
    path = folder / PREDICTIONS
    if not folder.is_dir():
        raise UserError(f"{terminal_path(folder)}: not a folder; name the --output_dir of a prediction")
    stated = read_stated(folder)
    if path.is_file() and stated is None:
        raise UserError(
            f"{terminal_path(folder)}: has no {PREDICT_RESULTS}: the prediction did not finish; predict again"
        )
    predictions = read_predictions(path)
    if not predictions:
        raise UserError(f"{terminal_path(path)}: is blank; predict again")
    check_stated_score(folder, stated or {}, predictions)
    return stated or {}, predictions


def _in_order(predictions: Sequence[Prediction], order: Sequence[tuple[str, str]]) -> tuple[Prediction, ...]:
    by_key = {(prediction.dataset, prediction.id): prediction for prediction in predictions}
    return tuple(by_key[key] for key in order)


def _check_options(runs: Mapping[str, Sequence[Prediction]]) -> None:
    (first, expected), *others = runs.items()
    for name, predictions in others:
        differing = [
            (a.dataset, a.id) for a, b in zip(expected, predictions, strict=True) if len(a.scores) != len(b.scores)
        ]
        if differing:
            raise UserError(
                f"{name} has another number of options than {first}, for id {listed_keys(differing)}; predict again "
                "with the same files"
            )
