"""The report: figures of every way on every file it scored, baselines of the files, and paired differences.

Shapes: S seeds, N questions, 2 metrics (MAP@3, accuracy).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmtuner.data.baselines import baselines_of
from llmtuner.data.question import Question
from llmtuner.metrics import Ranks
from llmtuner.report.paired import PairedDifference, holm, mean_interval, paired_difference
from real.kept import Keeper, Kept, read_ranks
from real.pairs import Cell, Pair
from real.rows import ROWS
from real.runs import Run

METRICS = {"map@3": 3, "accuracy": 1}
_OF_BASELINES = ("map@3", "map@3_low", "map@3_high", "accuracy")
Values = Mapping[str, tuple[float, float]]  # MAP@3 and accuracy of a question, by id
Done = tuple[Run, Kept]


@dataclass
class Scored:
    """A way on a file: the values of each seed."""

    of_seeds: dict[int, Values]

    @property
    def ids(self) -> list[str]:
        return list(next(iter(self.of_seeds.values())))

    def values_SN2(self, ids: Sequence[str]) -> np.ndarray:
        """The values of some questions; seeds in ascending order."""
        return np.array([[self.of_seeds[seed][each] for each in ids] for seed in sorted(self.of_seeds)])


def report(runs: Sequence[Run], keeper: Keeper) -> dict[str, Any]:
    """Everything that is kept, by row and set."""
    rows: dict[str, Any] = {}
    for row in dict.fromkeys(run.row for run in runs):
        for set_ in dict.fromkeys(run.set for run in runs if run.row == row):
            of_set = [(run, keeper.get(run)) for run in runs if (run.row, run.set) == (row, set_)]
            done = [(run, kept) for run, kept in of_set if kept is not None]
            if any(run.reported for run, _ in done):
                rows.setdefault(row, {})[set_] = _set(row, set_, done, keeper)
    return rows


def _set(row: str, set_: str, done: Sequence[Done], keeper: Keeper) -> dict[str, Any]:
    cells = _cells(done, keeper)
    files = dict.fromkeys(file for _, file in cells)
    return {
        "files": {file: _baselines(keeper.questions(file)) for file in files},
        "ways": _ways(done),
        "scores": [{"way": way, "file": file, **_figures(scored)} for (way, file), scored in cells.items()],
        "differences": _differences(cells, ROWS[row].pairs(set_)),
    }


def _cells(done: Sequence[Done], keeper: Keeper) -> dict[Cell, Scored]:
    """The values of each way on each file."""
    cells: dict[Cell, Scored] = {}
    for run, kept in done:
        for file, of_norms in kept.ranks.items():
            if run.file not in ("", file):
                continue
            for norm, texts in of_norms.items():
                way = f"{run.way}_{norm}" if norm else run.way
                scored = cells.setdefault((way, file), Scored({}))
                scored.of_seeds[run.seed] = _values(keeper.ids(file), read_ranks(texts))
    return cells


def _values(ids: Sequence[str], ranks: Ranks) -> Values:
    pairs = zip(*(ranks.reciprocal(k).tolist() for k in METRICS.values()), strict=True)
    return dict(zip(ids, pairs, strict=True))


def _figures(scored: Scored) -> dict[str, Any]:
    values_SN2 = scored.values_SN2(scored.ids)
    figures: dict[str, Any] = {"seeds": sorted(scored.of_seeds), "questions": len(scored.ids)}
    for place, metric in enumerate(METRICS):
        values_SN = values_SN2[..., place]
        figures[metric] = {
            "mean": round(float(values_SN.mean()), 4),
            "interval": _rounded(mean_interval(values_SN)),
            "seeds": [round(float(value), 4) for value in values_SN.mean(1)],
        }
    return figures


def _ways(done: Sequence[Done]) -> dict[str, Any]:
    """Where the runs of each way come from, and how long they took."""
    ways: dict[str, Any] = {}
    for run, kept in done:
        way = ways.setdefault(run.way, {"seconds": {}, "commits": []})
        way["seconds"][str(run.seed)] = kept.seconds
        if kept.commit not in way["commits"]:
            way["commits"].append(kept.commit)
    return ways


def _baselines(questions: Sequence[Question]) -> dict[str, float]:
    """Of the longest option, chance, and, with contexts, BM25 of option and context: MAP@3 with interval, accuracy."""
    keys = [f"floor_{name}_{metric}" for name in ("longest", "random", "passage") for metric in _OF_BASELINES]
    figures = baselines_of(questions)
    return {"questions": len(questions)} | {
        name.removeprefix("floor_"): round(float(figures[name]), 4) for name in keys if name in figures
    }


def _differences(cells: Mapping[Cell, Scored], pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Each pair of what is done, on the questions of both; p after Holm's correction for the pairs of this set."""
    differences: list[dict[str, Any]] = []
    for first, second in pairs:
        if first not in cells or second not in cells:
            continue
        others = set(cells[second].ids)
        ids = [each for each in cells[first].ids if each in others]
        one_SN2, other_SN2 = cells[first].values_SN2(ids), cells[second].values_SN2(ids)
        each: dict[str, Any] = {"first": list(first), "second": list(second), "questions": len(ids)}
        each["seeds"] = [len(one_SN2), len(other_SN2)]
        for place, metric in enumerate(METRICS):
            each[metric] = _difference(paired_difference(one_SN2[..., place], other_SN2[..., place]))
        differences.append(each)
    for metric in METRICS:
        for each, corrected in zip(differences, holm([each[metric]["p"] for each in differences]), strict=True):
            each[metric]["holm"] = round(corrected, 4)
    return differences


def _difference(pair: PairedDifference) -> dict[str, Any]:
    return {
        "difference": round(pair.difference, 4),
        "interval": _rounded((pair.low, pair.high)),
        "p": round(pair.p, 4),
        "wins": pair.wins,
        "losses": pair.losses,
        "ties": pair.ties,
    }


def _rounded(interval: tuple[float, float]) -> list[float]:
    return [round(bound, 4) for bound in interval]


def printed(result: Mapping[str, Any]) -> Iterator[str]:
    """The report as lines of text."""
    for row, sets in result["rows"].items():
        for set_, of_set in sets.items():
            yield f"\n{ROWS[row].title}: {set_}"
            for each in of_set["scores"]:
                low, high = each["map@3"]["interval"]
                yield (
                    f"{each['way']:24}{each['file']:28}{len(each['seeds'])} seeds  {each['map@3']['mean']:.3f} "
                    f"[{low:.3f}, {high:.3f}]  {each['accuracy']['mean']:.3f}"
                )
            for each in of_set["differences"]:
                low, high = each["map@3"]["interval"]
                names = " - ".join(" @ ".join(each[side]) for side in ("first", "second"))
                yield f"  {names}: {each['map@3']['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"
