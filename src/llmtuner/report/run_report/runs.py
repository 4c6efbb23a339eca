"""The predictions that a report is about: the output folders of one or several runs, question by question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.data.predictions import PREDICTIONS, Prediction, read_predictions
from llmtuner.data.problems import escaped, quoted, terminal_path
from llmtuner.errors import UserError
from llmtuner.report.stated_scores import check_stated_score, read_stated
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
    results = read_stated(folder) or {}
    check_stated_score(folder, results, predictions)
    return Run(name, folder, predictions, results)


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
