#!/usr/bin/env python3
"""Several predictions of the same questions in one table, with the floors under it.

    python scripts/compare.py STEP1=sft_predict STEP2=mcq_predict duma_predict
    python scripts/compare.py closed=closed_predict open=open_predict --difference open closed

Each is the --output_dir of a prediction, with a name before it where the folder's is not enough. A difference in MAP@3
comes with its 95 % interval over the questions (paired bootstrap), each of which counts as evidence of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from llmtuner.data.predictions import read_predictions
from llmtuner.metrics import map_at_k, paired_interval
from llmtuner.report.summary import score_table


def main(arguments: list[str]) -> int:
    """Print the table; 2 where a folder holds no scores, or the questions differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", nargs="+", help="[NAME=]FOLDER")
    parser.add_argument("--difference", nargs=2, action="append", default=[], metavar=("NAME", "NAME"))
    args = parser.parse_args(arguments)
    try:
        folders = _folders(args.predictions)
        print("\n".join(score_table({name: _metrics(folder) for name, folder in folders.items()})))
        for one, other in args.difference:
            print(_difference(one, other, folders))
    except KeyError as error:
        print(f"error: a predict_results.json has no {error}; was it written by this project?", file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _folders(arguments: list[str]) -> dict[str, Path]:
    folders: dict[str, Path] = {}
    for name, folder in map(_named, arguments):
        if name in folders:
            raise ValueError(f"{folders[name]} and {folder} are both called {name}; give them names: NAME={folder}")
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
        raise ValueError(f"{path}: no scores in it; were its questions without answers?")
    return metrics


def _difference(one: str, other: str, folders: dict[str, Path]) -> str:
    for name in (one, other):
        if name not in folders:
            raise ValueError(f"--difference {one} {other}: {name} is none of {', '.join(folders)}")
    values = [_per_question(folders[name]) for name in (one, other)]
    if values[0].keys() != values[1].keys():
        raise ValueError(f"--difference {one} {other}: their questions have different ids")
    differences = [values[0][key] - values[1][key] for key in values[0]]
    low, high = paired_interval(differences)
    mean = sum(differences) / len(differences)
    return f"MAP@3 of {one} - {other}: {mean:+.3f} [{low:+.3f}, {high:+.3f}] (95 %, {len(differences)} questions)"


def _per_question(folder: Path) -> dict[tuple[str, str], float]:
    """MAP@3 of each answered question, by data set and id."""
    return {
        (found.dataset, found.id): map_at_k([found.scores], [found.answer])
        for found in read_predictions(folder / "predictions.jsonl")
        if found.answer is not None
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
