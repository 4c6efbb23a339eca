#!/usr/bin/env python3
"""Print several predictions of the same questions in one table, with baselines that need no model.

    python scripts/compare.py STEP1=sft_predict STEP2=mcq_predict duma_predict
    python scripts/compare.py closed=closed_predict open=open_predict --difference open closed

Each argument is the --output_dir of a prediction, with an optional name before it. All must have the same questions:
data set, id and right answer. A baseline that differs between them, because they were trained on different data, is
printed once for each. A difference in MAP@3 has its 95 % interval (paired bootstrap over the questions, as
if they were independent).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from llmtuner.console import escape_unprintable
from llmtuner.data.predictions import Prediction, read_predictions
from llmtuner.metrics import map_at_k, paired_interval
from llmtuner.report.summary import check_same_questions, score_table


def main(arguments: list[str]) -> int:
    """Print the table; return 0, or 2 if a folder has no scores or the questions differ."""
    escape_unprintable()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "predictions",
        nargs="+",
        metavar="FOLDER",
        help="FOLDER or NAME=FOLDER; without NAME, the table has the folder's name",
    )
    parser.add_argument(
        "--difference",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "NAME"),
        help="also print MAP@3 of the first minus that of the second, with its interval; may be repeated",
    )
    args = parser.parse_args(arguments)
    try:
        folders = _folders(args.predictions)
        metrics = {name: _metrics(folder) for name, folder in folders.items()}
        _check_questions(folders)
        print("\n".join(score_table(metrics)))
        for first, second in args.difference:
            print(_difference(first, second, folders))
    except KeyError as error:
        print(f"error: a predict_results.json has no {error}; expected one that this project wrote", file=sys.stderr)
        return 2
    except (OSError, ValueError, RecursionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _folders(arguments: list[str]) -> dict[str, Path]:
    folders: dict[str, Path] = {}
    for name, folder in map(_named, arguments):
        if name in folders:
            raise ValueError(f"{folders[name]} and {folder} have the same name {name}; name them: NAME={folder}")
        folders[name] = folder
    return folders


def _named(argument: str) -> tuple[str, Path]:
    name, equals, folder = argument.partition("=")
    path = Path(folder if equals else argument)
    return (name if equals else path.name), path


def _metrics(folder: Path) -> dict[str, Any]:
    path = folder / "predict_results.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    if "predict_map@3" not in metrics:
        raise ValueError(f"{path}: has no scores; questions without answers are not scored")
    return metrics


def _check_questions(folders: dict[str, Path]) -> None:
    """Refuse other questions; a folder that has lost its predictions cannot be checked, and is named."""
    runs: dict[str, list[Prediction]] = {}
    for name, folder in folders.items():
        path = folder / "predictions.jsonl"
        if path.exists():
            runs[name] = read_predictions(path)
        else:
            print(f"note: {path} is missing: whether {name} has the same questions was not checked", file=sys.stderr)
    if len(runs) > 1:
        check_same_questions(runs)


def _difference(first: str, second: str, folders: dict[str, Path]) -> str:
    """The mean difference of two predictions, first minus second, with its interval."""
    for name in (first, second):
        if name not in folders:
            raise ValueError(f"--difference {first} {second}: unknown name {name}; choose from: {', '.join(folders)}")
    first_scores, second_scores = (_per_question(folders[name]) for name in (first, second))
    differences = [first_scores[key] - second_scores[key] for key in first_scores]
    low, high = paired_interval(differences)
    mean = sum(differences) / len(differences)
    return f"MAP@3 of {first} - {second}: {mean:+.3f} [{low:+.3f}, {high:+.3f}] (95 %, {len(differences)} questions)"


def _per_question(folder: Path) -> dict[tuple[str, str], float]:
    """MAP@3 of each answered question, by data set and id."""
    return {
        (prediction.dataset, prediction.id): map_at_k([prediction.scores], [prediction.answer])
        for prediction in read_predictions(folder / "predictions.jsonl")
        if prediction.answer is not None
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
