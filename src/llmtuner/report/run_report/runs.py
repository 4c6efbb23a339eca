"""The predictions that a report is about: the output folders of one or several runs, question by question."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.data.prediction_files import RESULTS
from llmtuner.data.predictions import PREDICTIONS, Prediction, read_predictions
from llmtuner.data.problems import escaped, quoted, terminal_path
from llmtuner.errors import UserError
from llmtuner.report.prediction_scores import check_stated_score
from llmtuner.report.summary import check_same_questions

CHANCE = "floor_random_map@3"  # the baseline that every prediction with answers has


@dataclass(frozen=True, slots=True)
class Run:
    """A prediction.

    Args:
        predictions: in the same order for all runs of a report.
        results: the content of predict_results.json; {} without it.
    """

    name: str
    folder: Path
    predictions: tuple[Prediction, ...]
    results: dict[str, Any]


def read_runs(arguments: Sequence[str]) -> list[Run]:
    """The runs of a command line, each DIR or NAME=DIR, with the questions in the order of the first run.

    Raises:
        UserError: a folder without predictions, two runs of one name, or runs with different questions or answers.
        DataError: a line that is no prediction.
    """
    folders: dict[str, Path] = {}
    for argument in arguments:
        name, folder = named_folder(argument)
        if name in folders:
            raise UserError(
                f"{terminal_path(folders[name])} and {terminal_path(folder)}: both runs are called {quoted(name)}; "
                f"name them: NAME={terminal_path(folder)}"
            )
        folders[name] = folder
    runs = [_read(name, folder) for name, folder in folders.items()]
    return _aligned(runs) if len(runs) > 1 else runs


def named_folder(argument: str) -> tuple[str, Path]:
    """The name and the folder of DIR or NAME=DIR; a folder that exists as written has no name before it."""
    name, equals, folder = argument.partition("=")
    if not equals or not folder or not name or Path(argument).exists():
        path = Path(argument)
        return path.name or path.resolve().name, path
    return name, Path(folder)


def _read(name: str, folder: Path) -> Run:
    path = folder / PREDICTIONS
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "no such folder"
        raise UserError(f"{terminal_path(folder)}: {problem}; expected the --output_dir of a --do_predict run")
    if not path.is_file():
        raise UserError(
            f"{terminal_path(folder)}: has no {PREDICTIONS}; expected the --output_dir of a --do_predict run"
        )
    predictions = tuple(read_predictions(path))
    if not predictions:
        raise UserError(f"{terminal_path(path)}: has no predictions; predict again")
    results = _results(folder / RESULTS)
    check_stated_score(folder, results.get("predict_map@3"), predictions)
    return Run(name, folder, predictions, results)


def _results(path: Path) -> dict[str, Any]:
    """The figures that the prediction wrote; {} if the file is missing."""
    if not path.exists():
        return {}
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{terminal_path(path)}: is not JSON: {error}; predict again") from error
    if not isinstance(results, dict):
        raise UserError(f"{terminal_path(path)}: expected an object with figures; predict again")
    for key in [key for key in results if key.startswith("floor_") and not key.endswith("_from")]:
        partner = key.replace("_map@3", "_accuracy") if key.endswith("_map@3") else key
        if not all(_is_share(results.get(name)) for name in (key, partner)):
            raise UserError(f"{terminal_path(path)}: expected {key} and {partner} from 0 to 1; predict again")
    return results


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _aligned(runs: Sequence[Run]) -> list[Run]:
    """The runs with their predictions in the order of the first one.

    Raises:
        UserError: another question, another answer, a repeated id, or another number of options.
    """
    try:
        check_same_questions({run.name: run.predictions for run in runs})
    except ValueError as error:
        raise UserError(escaped(str(error))) from error
    first = runs[0]
    aligned = [first]
    for run in runs[1:]:
        by_key = {(prediction.dataset, prediction.id): prediction for prediction in run.predictions}
        ordered = tuple(by_key[prediction.dataset, prediction.id] for prediction in first.predictions)
        for one, other in zip(first.predictions, ordered, strict=True):
            if len(one.scores) != len(other.scores):
                raise UserError(
                    f"{escaped(run.name)} has {len(other.scores)} options for id {quoted(one.id)}, "
                    f"{escaped(first.name)} has {len(one.scores)}; predict again with the same files"
                )
        aligned.append(Run(run.name, run.folder, ordered, run.results))
    return aligned
