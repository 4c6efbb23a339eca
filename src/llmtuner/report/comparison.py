"""Predictions of the same questions side by side: read, checked, joined by question, and paired.

Legend: S seeds of an arm, N questions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from errno import ENOENT
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from llmtuner.data.predictions import PREDICTIONS, Prediction, read_predictions
from llmtuner.data.problems import escaped, terminal_path
from llmtuner.errors import UserError
from llmtuner.metrics import Ranks
from llmtuner.report.paired import EFFECT, PairedDifference, holm, mean_interval, paired_differences
from llmtuner.report.prediction_scores import KINDS
from llmtuner.report.stated_scores import SCORE, check_stated_score, read_stated
from llmtuner.report.summary import BASELINES, Metrics, Row, check_same_questions, score_table
from llmtuner.spec.model_files import PREDICT_RESULTS

_TOO_FEW = "differences need at least two questions with answers"


@dataclass(frozen=True, slots=True)
class Run:
    """The output folder of a prediction.

    Args:
        metrics: of predict_results.json.
        predictions: None if predictions.jsonl is missing.
    """

    folder: Path
    metrics: Metrics
    predictions: list[Prediction] | None

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read a folder.

        Raises:
            OSError: it has no predict_results.json.
            ValueError: a file is damaged, or nothing in it was scored.
        """
        metrics = read_stated(folder)
        if metrics is None:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), str(folder / PREDICT_RESULTS))
        if SCORE not in metrics:
            raise UserError(
                f"{terminal_path(folder / PREDICT_RESULTS)}: has no scores; questions without answers are not scored"
            )
        file = folder / PREDICTIONS
        if not file.exists():
            return cls(folder, metrics, None)
        predictions = read_predictions(file)
        if all(prediction.answer is None for prediction in predictions):
            raise UserError(
                f"{terminal_path(file)}: has no answers, although {PREDICT_RESULTS} has scores; predict again"
            )
        return cls(folder, metrics, predictions)

    def check_score(self) -> None:
        """Refuse a score that is not that of the predictions: the table and the pairs would contradict each other.

        Raises:
            UserError: the files are of different runs.
        """
        if self.predictions is not None:
            check_stated_score(self.folder, self.metrics, self.predictions)

    @property
    def row(self) -> Row:
        """Its own score."""
        return Row.of_model(self.folder.name, self.metrics)


@dataclass(frozen=True)
class Arm:
    """One run, or several that differ in their seed only."""

    name: str
    runs: tuple[Run, ...]

    @property
    def runs_by_name(self) -> dict[str, Run]:
        """The runs by the name for a message or a baseline: the arm's, with the folder where there are several."""
        if len(self.runs) == 1:
            return {self.name: self.runs[0]}
        return {f"{self.name}, {run.folder}": run for run in self.runs}

    @property
    def is_paired(self) -> bool:
        """Whether all of its runs have predictions, so that it can be paired with another arm."""
        return all(run.predictions is not None for run in self.runs)

    @cached_property
    def values(self) -> dict[str, np.ndarray]:
        """For each metric the value of each seed and answered question, [S, N]; questions in the order of their keys.

        Sorted, so that the order of the rows in the files changes no digit.
        """
        ranks = []
        for run in self.runs:
            known = {(p.dataset, p.id): p for p in run.predictions or () if p.answer is not None}
            ordered = [known[key] for key in sorted(known)]
            ranks.append(Ranks.of([p.scores for p in ordered], [p.answer for p in ordered if p.answer is not None]))
        return {name: np.array([each.reciprocal(k) for each in ranks]) for name, k in KINDS.items()}

    @cached_property
    def metrics(self) -> Metrics:
        """Its own score under the keys of predict_results.json: of its run, or the mean over several.

        The mean's interval draws seeds and questions.
        """
        first = self.runs[0].metrics
        if len(self.runs) == 1:
            return first
        low, high = mean_interval(self.values["map@3"])
        means = {f"predict_{name}": float(values_SN.mean()) for name, values_SN in self.values.items()}
        return {**means, "predict_map@3_low": low, "predict_map@3_high": high}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two arms with their differences, first minus second, by metric, and p after Holm's correction."""

    first: str
    second: str
    differences: dict[str, PairedDifference]
    p_holm: dict[str, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Arms on the same questions.

    Args:
        questions: the number of those that have an answer.
        pairs: those that were asked for; only of arms with predictions.
        notes: what could not be checked or compared.
    """

    arms: tuple[Arm, ...]
    questions: int
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


def compared(arms: Mapping[str, Sequence[Path]], against: str | None = None) -> Comparison:
    """Read the arms' folders, check that all have the same questions, and pair the arms.

    Args:
        arms: the folders of each arm, by its name; several are its seeds.
        against: pair each other arm with this one only, as the second; None for every pair, in the given order.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is damaged, the questions or answers differ, an id is repeated, or `against` is unknown.
    """
    if against is not None and against not in arms:
        raise UserError(f"--against {against}: unknown name; choose from: {', '.join(arms)}")
    read, notes = read_arms(arms)
    paired = [arm for arm in read if arm.is_paired]
    questions = paired[0].values["map@3"].shape[1] if paired else 0
    if len(paired) > 1 and questions < 2:
        notes.append(f"no pairs: {_TOO_FEW}")
        paired = []
    return Comparison(read, questions, tuple(_pairs(paired, against)), tuple(notes))


def read_arms(arms: Mapping[str, Sequence[Path]]) -> tuple[tuple[Arm, ...], list[str]]:
    """Read the arms' folders and check that all have the same questions; also notes on what cannot be checked.

    Raises:
        OSError, ValueError: as in `compared`.
    """
    read = tuple(Arm(name, tuple(map(Run.read, folders))) for name, folders in arms.items())
    notes = _check_questions(read)
    for arm in read:
        for run in arm.runs:
            run.check_score()
    return read, notes


def _check_questions(arms: Sequence[Arm]) -> list[str]:
    """Refuse other questions and answers; return notes on runs that cannot be checked."""
    runs, notes = {}, []
    for arm in arms:
        for name, run in arm.runs_by_name.items():
            if run.predictions is not None:
                runs[escaped(name)] = run.predictions
                continue
            path = terminal_path(run.folder / PREDICTIONS)
            if len(arm.runs) > 1:
                raise UserError(f"{path}: not found; several seeds are scored from their predictions")
            notes.append(f"{path} is missing: whether {escaped(name)} has the same questions was not checked")
    if runs:
        check_same_questions(runs)
    return notes


def _pairs(arms: Sequence[Arm], against: str | None) -> list[Pair]:
    names = [(a.name, b.name) for a, b in combinations(arms, 2)]
    if against is not None:
        known = against in {arm.name for arm in arms}
        names = [(arm.name, against) for arm in arms if known and arm.name != against]
    if not names:
        return []
    by_metric = {metric: paired_differences({arm.name: arm.values[metric] for arm in arms}, names) for metric in KINDS}
    corrected = {metric: holm([each.p for each in differences]) for metric, differences in by_metric.items()}
    return [
        Pair(
            first,
            second,
            {metric: by_metric[metric][place] for metric in KINDS},
            {metric: corrected[metric][place] for metric in KINDS},
        )
        for place, (first, second) in enumerate(names)
    ]


def score_lines(arms: Sequence[Arm]) -> list[str]:
    """The table of the arms' own scores, with the baselines that their runs state."""
    shown = {f"{arm.name} ({len(arm.runs)} seeds)" if len(arm.runs) > 1 else arm.name: arm.metrics for arm in arms}
    stated = {name: run.metrics for arm in arms for name, run in arm.runs_by_name.items()}
    return score_table(
        {escaped(name): metrics for name, metrics in shown.items()},
        {escaped(name): metrics for name, metrics in stated.items()},
    )


def pair_lines(comparison: Comparison) -> list[str]:
    """The tables of the pairs, one for each metric, and what their columns mean; [] without pairs."""
    if not comparison.pairs:
        return []
    names = [escaped(f"{pair.first} - {pair.second}") for pair in comparison.pairs]
    width = max(16, 2 + max(map(len, names)))
    lines = []
    for metric, title in (("map@3", "MAP@3"), ("accuracy", "accuracy")):
        columns = f"{'difference':>12}{'95 % interval':>19}{'p':>9}{'Holm':>9}"
        lines += ["", f"{title:{width}}{columns}{'wins':>7}{'losses':>8}{'ties':>7}{'needed':>9}"]
        for name, pair in zip(names, comparison.pairs, strict=True):
            lines.append(f"{name:{width}}{_figures(pair.differences[metric], pair.p_holm[metric])}")
    pairs = f"{len(comparison.pairs)} pair{'s' * (len(comparison.pairs) > 1)}"
    lines += [
        "",
        f"{comparison.questions:,} questions, first minus second. p: sign flips, two-sided; Holm: p for {pairs}.",
        f"needed: questions for a difference of {EFFECT} to show at this spread (two-sided 5 %, power 80 %).",
    ]
    if any(len(arm.runs) > 1 for arm in comparison.arms):
        lines.append(
            "Intervals draw seeds and questions. p takes the mean over these seeds; of new seeds it says nothing."
        )
    return lines


def _figures(each: PairedDifference, p_holm: float) -> str:
    needed = "-" if each.needed is None else f"{each.needed:,}"
    interval = f"[{each.low:+.3f}, {each.high:+.3f}]"
    counts = f"{each.wins:>7,}{each.losses:>8,}{each.ties:>7,}{needed:>9}"
    return f"{each.difference:>+12.3f}{interval:>19}{each.p:>9.4f}{p_holm:>9.4f}{counts}"


def difference_line(comparison: Comparison, first: str, second: str) -> str:
    """MAP@3 of an arm minus that of another, with its interval.

    Raises:
        UserError: a name is unknown, or there are not two questions with answers.
        OSError: a run has no predictions.
    """
    arms = {arm.name: arm for arm in comparison.arms}
    for name in (first, second):
        if name not in arms:
            raise UserError(f"--difference {first} {second}: unknown name {name}; choose from: {', '.join(arms)}")
        for run in arms[name].runs:
            if run.predictions is None:
                raise FileNotFoundError(f"{terminal_path(run.folder / PREDICTIONS)}: not found")
    values = {name: arms[name].values["map@3"] for name in (first, second)}
    if values[first].shape[1] < 2:
        raise UserError(f"--difference {first} {second}: {_TOO_FEW}")
    [each] = paired_differences(values, [(first, second)])
    interval = f"[{each.low:+.3f}, {each.high:+.3f}] (95 %, {values[first].shape[1]} questions)"
    return f"MAP@3 of {escaped(first)} - {escaped(second)}: {each.difference:+.3f} {interval}"


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """The comparison as an object for JSON."""
    return {
        "runs": {arm.name: _arm_record(arm) for arm in comparison.arms},
        "pairs": [
            {
                "a": pair.first,
                "b": pair.second,
                **{metric: _difference_record(each, pair.p_holm[metric]) for metric, each in pair.differences.items()},
                "counts": {metric: _counts(each) for metric, each in pair.differences.items()},
            }
            for pair in comparison.pairs
        ],
    }


def _difference_record(each: PairedDifference, p_holm: float) -> dict[str, float]:
    return {"difference": each.difference, "low": each.low, "high": each.high, "p": each.p, "p_holm": p_holm}


def _counts(each: PairedDifference) -> dict[str, int | None]:
    return {"wins": each.wins, "losses": each.losses, "ties": each.ties, "needed": each.needed}


def _arm_record(arm: Arm) -> dict[str, Any]:
    record = _score(Row.of_model(arm.name, arm.metrics))
    if arm.is_paired:
        record["questions"] = arm.values["map@3"].shape[1]
    return record | {"seeds": [_run_record(run) for run in arm.runs]}


def _run_record(run: Run) -> dict[str, Any]:
    stated = {
        name: _score(Row.of(name, run.metrics, f"floor_{name}", f"floor_{name}_accuracy"))
        for name in BASELINES
        if f"floor_{name}_map@3" in run.metrics
    }
    return {"folder": str(run.folder), **_score(run.row), "baselines": stated}


def _score(row: Row) -> dict[str, float | None]:
    low, high = row.interval or (None, None)
    return {"map@3": row.map3, "map@3_low": low, "map@3_high": high, "accuracy": row.accuracy}
