"""The results of a sweep: one row for each combination, over its seeds.

Shapes: S seeds, Q questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from llmtuner.data.predictions import PREDICTIONS, Prediction, read_predictions
from llmtuner.files import sha256_of_json
from llmtuner.metrics import Ranks
from llmtuner.report.paired import mean_interval
from llmtuner.report.stated_scores import check_stated_score
from llmtuner.report.summary import BASELINES, check_same_questions
from llmtuner.studies.ended_run import check_ended, figures_of
from llmtuner.studies.sweep import Piece, Sweep

RESULTS = "results.json"

Done = tuple[tuple[str, float], ...]  # the folders of the done seeds of a combination, and their seconds


@dataclass(frozen=True)
class Combination:
    """The results of one combination.

    Args:
        seeds: that are done.
        folders: of the seeds.
        figures: of each seed: all numbers of its predict_results.json, or of its evaluation or training.
        map3: mean of MAP@3 over seeds and questions, if the pieces predict.
        interval: 95 % interval of that mean; with several seeds, seeds and questions are drawn.
        seconds: of each seed.
        questions: how many have an answer, if the pieces predict.
        question_set: SHA-256 of the data set, id and answer of each; "" without a prediction.
    """

    name: str
    values: Mapping[str, str]
    seeds: Sequence[int]
    folders: Sequence[str]
    figures: Sequence[Mapping[str, Any]]
    seconds: Sequence[float]
    map3: float | None = None
    accuracy: float | None = None
    interval: tuple[float, float] | None = None
    questions: int | None = None
    question_set: str = ""


def read_results(sweep: Sweep, known: dict[Done, Combination] | None = None) -> list[Combination]:
    """The combinations of which at least one piece is done.

    Args:
        known: combinations that were read before, which are not read again; what is read is added. With it, a sweep of
            many pieces does not read all predictions after each of them.

    Raises:
        ValueError: the seeds of a combination were scored on different questions, or a later run replaced the
            predictions of a piece.
    """
    pieces: dict[str, list[tuple[Piece, float]]] = {}
    for piece in sweep.pieces():
        stored = piece.stored()
        if stored is not None:
            pieces.setdefault(piece.combination, []).append((piece, float(stored.get("seconds", 0))))
    known = {} if known is None else known
    results = []
    for name, done in pieces.items():
        key = tuple((str(piece.folder), seconds) for piece, seconds in done)
        if key not in known:
            known[key] = _combination(name, done)
        results.append(known[key])
    return results


def _combination(name: str, done: Sequence[tuple[Piece, float]]) -> Combination:
    first = [piece for piece, _ in done]
    for piece in first:
        check_ended(piece.folder, piece.stored() or {})
    result = Combination(
        name,
        first[0].values,
        [piece.seed for piece in first],
        [str(piece.folder) for piece in first],
        [figures_of(piece.folder) for piece in first],
        [seconds for _, seconds in done],
    )
    if not all("predict_map@3" in figures for figures in result.figures):
        return result
    predictions = {str(piece.folder): read_predictions(piece.folder / PREDICTIONS) for piece in first}
    check_same_questions(predictions)
    for folder, figures in zip(predictions, result.figures, strict=True):
        check_stated_score(Path(folder), figures, predictions[folder])
    map3_SQ = np.stack([_in_one_order(each, 3) for each in predictions.values()])
    accuracy_SQ = np.stack([_in_one_order(each, 1) for each in predictions.values()])
    return replace(
        result,
        map3=float(map3_SQ.mean()),
        accuracy=float(accuracy_SQ.mean()),
        interval=mean_interval(map3_SQ),
        questions=map3_SQ.shape[1],
        question_set=_set_of(next(iter(predictions.values()))),
    )


def _set_of(predictions: Sequence[Prediction]) -> str:
    return sha256_of_json(sorted((p.dataset, p.id, p.answer) for p in predictions if p.answer is not None))


def _in_one_order(predictions: Sequence[Prediction], k: int) -> np.ndarray:
    """MAP@k of each answered question, by data set and id, [Q]."""
    answered = sorted((p for p in predictions if p.answer is not None), key=lambda p: (p.dataset, p.id))
    return Ranks.of([p.scores for p in answered], [int(p.answer) for p in answered if p.answer is not None]).reciprocal(
        k
    )


def results_json(sweep: Sweep, results: Sequence[Combination], failed: Mapping[str, int]) -> dict[str, Any]:
    """The content of results.json.

    Args:
        failed: exit status of the pieces that failed, by name.
    """
    return {**sweep.to_json(), "combinations": [asdict(result) for result in results], "failed": dict(failed)}


def table(results: Sequence[Combination]) -> list[str]:
    """The lines of the table: combinations, best first where they are scored, then baselines that need no model."""
    if not results:
        return ["no piece is done yet"]
    scored = [result for result in results if result.map3 is not None]
    if not scored:
        return _unscored(results)
    width = max(16, 2 + max(len(result.name) for result in results))
    lines = [f"{'':{width}}{'seeds':>6}{'MAP@3':>8}{'95 % interval':>18}{'accuracy':>10}{'between seeds':>15}{'s':>8}"]
    for result in sorted(scored, key=lambda each: -(each.map3 or 0)):
        low, high = result.interval or (0.0, 0.0)
        of_seeds = [float(figures["predict_map@3"]) for figures in result.figures]
        spread = f"{np.std(of_seeds, ddof=1):.3f}" if len(of_seeds) > 1 else ""
        lines.append(
            f"{result.name or 'all':{width}}{len(result.seeds):>6}{result.map3:>8.3f}{f'[{low:.3f}, {high:.3f}]':>18}"
            f"{result.accuracy:>10.3f}{spread:>15}{np.mean(result.seconds):>8.0f}"
        )
    return [*lines, *_baselines(scored, width), *_other_questions(scored)]


def _other_questions(scored: Sequence[Combination]) -> list[str]:
    """A warning if --max_samples or --eval_dataset was swept: such scores say nothing about the settings."""
    if len({result.question_set for result in scored}) < 2:
        return []
    counts = ", ".join(f"{result.name} {result.questions:,}" for result in scored)
    return [f"warning: scored on different questions ({counts}), so these scores cannot be compared"]


def _baselines(scored: Sequence[Combination], width: int) -> list[str]:
    """A line for each baseline that all pieces share."""
    lines = []
    for key, title in BASELINES.items():
        names = f"floor_{key}_map@3", f"floor_{key}_accuracy"
        values = {tuple(figures.get(name) for name in names) for each in scored for figures in each.figures}
        if len(values) == 1 and None not in (pair := values.pop()):
            lines.append(f"{title:{width}}{'':>6}{pair[0]:>8.3f}{'':>18}{pair[1]:>10.3f}")
    return lines


def _unscored(results: Sequence[Combination]) -> list[str]:
    """Of trainings without a prediction: the evaluation's MAP@3 if there was one, and the loss."""
    width = max(16, 2 + max(len(result.name) for result in results))
    names = [
        name
        for name in ("eval_map@3", "eval_loss", "train_loss")
        if any(name in figures for result in results for figures in result.figures)
    ]
    lines = [f"{'':{width}}{'seeds':>6}" + "".join(f"{name:>14}" for name in names)]
    for result in results:
        means = [[float(f[name]) for f in result.figures if name in f] for name in names]
        shown = "".join(f"{np.mean(each):>14.4f}" if each else f"{'':>14}" for each in means)
        lines.append(f"{result.name or 'all':{width}}{len(result.seeds):>6}{shown}")
    return lines
