"""What a cross-validation leaves: out-of-fold predictions, and the figures of all and of each fold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from llmtuner.data.baselines import baselines_of
from llmtuner.data.duplicates import question_digest
from llmtuner.data.prediction_files import replacing_prediction
from llmtuner.data.predictions import PREDICTIONS, Prediction, read_predictions, write_predictions
from llmtuner.errors import UserError
from llmtuner.files import write_atomic
from llmtuner.report.prediction_scores import measured
from llmtuner.report.summary import score_table
from llmtuner.studies.check_folds import CheckedFolds
from llmtuner.studies.folds import keys_of

RESULTS = "results.json"


def out_of_fold(checked: CheckedFolds) -> list[Prediction]:
    """The predictions of all folds, in the order of the data, with the questions' own ids and data sets.

    Raises:
        UserError: a fold predicted other questions than its own.
    """
    study = checked.study
    digests = dict(zip(keys_of(checked.questions), map(question_digest, checked.questions), strict=True))
    by_key: dict[str, Prediction] = {}
    for fold in range(study.count):
        path = study.folder(fold) / PREDICTIONS
        predictions = {prediction.id: prediction for prediction in read_predictions(path)}
        expected = {key for key, own in checked.fold_of.items() if own == fold}
        if predictions.keys() != expected or not all(predictions[key].is_of(digests[key]) for key in expected):
            raise UserError(f"{path}: has other questions than fold {fold}; run all folds afresh: --overwrite")
        by_key |= predictions
    return [
        replace(by_key[key], id=question.id, dataset=question.dataset, answer=question.answer, digest=digests[key])
        for key, question in zip(digests, checked.questions, strict=True)
    ]


def results_of(checked: CheckedFolds, failed: Mapping[str, int]) -> dict[str, Any]:
    """The content of results.json, of the folds that are done.

    Args:
        failed: exit status of the folds that failed, by name.
    """
    study = checked.study
    done = [fold for fold in range(study.count) if study.is_done(fold)]
    folds = []
    for fold in done:
        stored = study.stored(fold)
        figures = measured(read_predictions(study.folder(fold) / PREDICTIONS))
        size = sum(own == fold for own in checked.fold_of.values())
        folds.append({"fold": fold, "questions": size, "seconds": stored["seconds"], **_bare(figures)})
    result = {**checked.manifest, "failed": dict(failed), "done": done, "each": folds}
    if len(done) < study.count:
        return result
    predictions = out_of_fold(checked)
    spread = float(np.std([each["map@3"] for each in folds], ddof=1))
    return {**result, "out_of_fold": {**_bare(measured(predictions)), "map@3_between_folds": spread}}


def _bare(figures: Mapping[str, float]) -> dict[str, float]:
    return {name.removeprefix("predict_"): value for name, value in figures.items()}


def write_results(checked: CheckedFolds, failed: Mapping[str, int]) -> dict[str, Any]:
    """Write results.json, and the out-of-fold predictions if all folds are done; return the content of results.json."""
    result = results_of(checked, failed)
    if "out_of_fold" in result:
        predictions = out_of_fold(checked)
        figures = {**measured(predictions), **baselines_of(checked.questions)}
        with replacing_prediction(checked.study.out, figures) as folder:
            write_predictions(predictions, folder)
    write_atomic(checked.study.out / RESULTS, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return result


def table(checked: CheckedFolds, result: Mapping[str, Any]) -> list[str]:
    """The lines that are printed: each fold that is done, all together, and the baselines."""
    if not result["each"]:
        return ["no fold is done yet"]
    of_folds = {f"fold-{each['fold']}": _stated(each) for each in result["each"]}
    if "out_of_fold" not in result:
        return [*score_table(of_folds), f"{len(result['done'])} of {checked.study.count} folds are done"]
    all_folds = {**_stated(result["out_of_fold"]), **baselines_of(checked.questions)}
    lines = score_table({**of_folds, "out of fold": all_folds}, {"out of fold": all_folds})
    spread = result["out_of_fold"]["map@3_between_folds"]
    return [*lines, f"MAP@3 between folds: standard deviation {spread:.3f}"]


def _stated(figures: Mapping[str, Any]) -> dict[str, Any]:
    names: Sequence[str] = ("map@3", "map@3_low", "map@3_high", "accuracy")
    return {f"predict_{name}": figures[name] for name in names}
