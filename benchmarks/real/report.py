"""The report: figures of every way, and its paired difference from the row's baseline.

Shapes: S seeds, Q questions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmtuner.data.predictions import Prediction, read_predictions
from llmtuner.metrics import Ranks
from llmtuner.report.paired import mean_interval, paired_difference
from llmtuner.studies.sweep import Piece
from real.rows import ROWS
from real.runs import Run, Setting

Key = tuple[str, str]  # data set, id


def report(runs: Sequence[Run], setting: Setting) -> dict[str, Any]:
    """Everything that is done, by row, set and way."""
    rows: dict[str, Any] = {}
    for row in dict.fromkeys(run.row for run in runs):
        for set_ in dict.fromkeys(run.set for run in runs if run.row == row):
            ways: dict[str, dict[int, Piece]] = {}
            for run in runs:
                piece = run.piece
                if (run.row, run.set) == (row, set_) and run.reported and piece.stored() is not None:
                    ways.setdefault(run.way, {})[run.seed] = piece
            if ways:
                rows.setdefault(row, {})[set_] = _set(ways, ROWS[row].baseline, setting)
    return {"model": Path(setting.model).name, "rows": rows}


def _set(ways: Mapping[str, Mapping[int, Piece]], baseline: str, setting: Setting) -> dict[str, Any]:
    scores = {way: {seed: _scores(piece) for seed, piece in pieces.items()} for way, pieces in ways.items()}
    result: dict[str, Any] = {}
    for way, pieces in ways.items():
        files = dict.fromkeys(name for of_seed in scores[way].values() for name, _ in of_seed)
        result[way] = {
            "seeds": sorted(pieces),
            "seconds": [round(float((piece.stored() or {})["seconds"])) for piece in pieces.values()],
            "baselines": _baselines(next(iter(pieces.values()))),
            "scored": {_short(name, setting): _figures(scores[way], name, scores.get(baseline)) for name in files},
        }
    return result


def _scores(piece: Piece) -> dict[Key, tuple[float, float]]:
    """MAP@3 and accuracy of each question of a prediction."""
    predictions = [p for p in read_predictions(piece.folder / "predictions.jsonl") if p.answer is not None]
    ranks = Ranks.of([p.scores for p in predictions], [int(p.answer or 0) for p in predictions])
    pairs = zip(ranks.reciprocal(3).tolist(), ranks.reciprocal(1).tolist(), strict=True)
    return {(_dataset(p, piece), p.id): pair for p, pair in zip(predictions, pairs, strict=True)}


def _dataset(prediction: Prediction, piece: Piece) -> str:
    """The file of a question; a prediction of one file does not name it."""
    if prediction.dataset:
        return prediction.dataset
    words = list(piece.sweep.words)
    return words[words.index("--eval_dataset") + 1]


def _short(name: str, setting: Setting) -> str:
    data = str(setting.work / "data") + "/"
    return name.removeprefix(data).removesuffix(".jsonl")


def _figures(
    of_seeds: Mapping[int, Mapping[Key, tuple[float, float]]],
    name: str,
    baseline: Mapping[int, Mapping[Key, tuple[float, float]]] | None,
) -> dict[str, Any]:
    keys = [key for key in next(iter(of_seeds.values())) if key[0] == name]
    values_SQ2 = np.array([[of_seed[key] for key in keys] for of_seed in of_seeds.values()])
    figures = {
        "questions": len(keys),
        "map@3": round(float(values_SQ2[..., 0].mean()), 4),
        "interval": _rounded(mean_interval(values_SQ2[..., 0])),
        "accuracy": round(float(values_SQ2[..., 1].mean()), 4),
        "map@3 of seeds": [round(float(value), 4) for value in values_SQ2[..., 0].mean(1)],
    }
    if baseline is not None and baseline is not of_seeds:
        of_baseline = [
            [of_seed[key][0] for key in keys] for of_seed in baseline.values() if all(key in of_seed for key in keys)
        ]
        if of_baseline:
            pair = paired_difference(values_SQ2[..., 0], np.array(of_baseline))
            figures["difference"] = round(pair.difference, 4)
            figures["difference interval"] = _rounded((pair.low, pair.high))
            figures["p"] = round(pair.p, 4)
    return figures


def _rounded(interval: tuple[float, float]) -> list[float]:
    return [round(bound, 4) for bound in interval]


def _baselines(piece: Piece) -> dict[str, float]:
    """Of the first seed, over all files that it scored."""
    path = piece.folder / "predict_results.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {
        name: round(value, 4)
        for name, value in stored.items()
        if name.startswith("floor_") and not isinstance(value, str)
    }


def printed(result: Mapping[str, Any]) -> Iterator[str]:
    """The report as lines of text."""
    for row, sets in result["rows"].items():
        for set_, ways in sets.items():
            yield f"\n{ROWS[row].title}: {set_}"
            for way, of_way in ways.items():
                for name, f in of_way["scored"].items():
                    low, high = f["interval"]
                    gain = ""
                    if "difference" in f:
                        gain = "  {:+.3f} [{:+.3f}, {:+.3f}]".format(f["difference"], *f["difference interval"])
                    yield (
                        f"{way:24}{name:28}{len(of_way['seeds'])} seeds  {f['map@3']:.3f} [{low:.3f}, {high:.3f}]  "
                        f"{f['accuracy']:.3f}{gain}  {of_way['seconds'][0]} s"
                    )
