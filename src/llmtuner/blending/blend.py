"""A blend of runs: its predictions, its scores beside those of its parts, and its files.

Legend: P parts, Q questions, N options.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from llmtuner.blending.means import MEANS, blend, padded_scores
from llmtuner.blending.overlap import check_overlap
from llmtuner.blending.parts import Part, read_parts
from llmtuner.blending.weights import fitted_weights
from llmtuner.data.prediction_files import replacing_prediction
from llmtuner.data.predictions import Prediction, write_predictions
from llmtuner.errors import UserError
from llmtuner.files import write_synced
from llmtuner.metrics import figures
from llmtuner.report.prediction_scores import difference_line, differences, measured, random_baseline
from llmtuner.report.summary import listed_keys, score_table, without_last_bits

BLEND, FORMAT = "blend.json", 1
EQUAL, GIVEN, FIT = "equal", "given", "fit"
NAME = "blend"  # in tables


@dataclass(frozen=True)
class Fit:
    """Where weights come from that were fitted.

    Args:
        folders: of the predictions, in the order of the parts.
        compared: how it was checked that none of these questions is scored.
        nll_equal, nll: mean negative log-likelihood of the right options with equal and with the fitted weights, in
            nats, over the questions of the fit.
    """

    folders: tuple[str, ...]
    questions: int
    compared: str
    nll_equal: float | None
    nll: float | None


@dataclass(frozen=True)
class Blend:
    """Blended predictions.

    Args:
        predictions: in the order of the first part; their scores are logarithms of probabilities.
        weights: of the parts, with sum 1.
        source: of the weights: `EQUAL`, `GIVEN` or `FIT`.
    """

    parts: tuple[Part, ...]
    predictions: tuple[Prediction, ...]
    mean: str
    weights: tuple[float, ...]
    source: str
    fit: Fit | None = None

    @property
    def answered(self) -> int:
        """The number of questions with an answer."""
        return sum(prediction.answer is not None for prediction in self.predictions)


@dataclass(frozen=True)
class FitOn:
    """Predictions to fit weights on.

    Args:
        folders: one for each part, in the same order: out-of-fold or validation predictions.
        questions, fit_questions: question files of the scored runs and of `folders`, to compare their texts.
    """

    folders: Sequence[Path]
    questions: Sequence[str] = ()
    fit_questions: Sequence[str] = ()


def blend_runs(
    folders: Sequence[Path],
    *,
    mean: str = MEANS[0],
    weights: Sequence[float] | None = None,
    fit_on: FitOn | None = None,
) -> Blend:
    """Blend the predictions of runs.

    Args:
        weights: of the parts, at least 0; None for equal ones.
        fit_on: fit the weights instead.

    Raises:
        OSError, ValueError: as in `read_parts` and `check_overlap`; or the weights do not fit the parts.
    """
    if len(folders) < 2:
        raise UserError(f"a blend needs at least two runs, and {len(folders)} is given")
    _check_weights(weights, len(folders))
    if fit_on is not None and len(fit_on.folders) != len(folders):
        given = f"{len(fit_on.folders)} runs for {len(folders)} to blend"
        raise UserError(f"--fit_on: {given}; give one for each, in the same order")
    parts = read_parts(folders)
    fit, weights_P, source = None, np.ones(len(parts)), EQUAL
    if fit_on is not None:
        weights_P, fit = _fitted(parts, fit_on, mean)
        source = FIT
    elif weights is not None:
        weights_P, source = np.array(weights, dtype=np.float64) / max(weights), GIVEN  # their sum may be infinite
    predictions = _blended(parts, weights_P, mean)
    shares = tuple(float(share) for share in weights_P / weights_P.sum())
    return Blend(tuple(parts), predictions, mean, shares, source, fit)


def _check_weights(weights: Sequence[float] | None, parts: int) -> None:
    if weights is None:
        return
    shown = ",".join(f"{weight:g}" for weight in weights)
    if len(weights) != parts:
        raise UserError(f"--weights {shown}: {len(weights)} weights for {parts} runs; give one for each")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise UserError(f"--weights {shown}: expected numbers of at least 0, and one above 0")


def _fitted(parts: Sequence[Part], fit_on: FitOn, mean: str) -> tuple[np.ndarray, Fit]:
    fitted = read_parts(fit_on.folders)
    compared = check_overlap(parts[0].predictions, fitted[0].predictions, fit_on.questions, fit_on.fit_questions)
    known = [place for place, each in enumerate(fitted[0].predictions) if each.answer is not None]
    if not known:
        raise UserError("--fit_on: no question has an answer; weights are fitted on answers")
    scores_PQN, exists_QN = padded_scores([[part.predictions[place].scores for place in known] for part in fitted])
    answers = [answer for place in known if (answer := fitted[0].predictions[place].answer) is not None]
    weights_P = fitted_weights(scores_PQN, exists_QN, np.array(answers), mean)

    equal, found = (
        _rows(blend(scores_PQN, exists_QN, w_P, mean), exists_QN) for w_P in (np.ones(len(parts)), weights_P)
    )
    scored = [place for place, answer in enumerate(answers) if equal[place][answer] > -math.inf]  # as the fit has it

    def nll(rows: Sequence[Sequence[float]]) -> float | None:
        value = figures([rows[place] for place in scored], [answers[place] for place in scored])["nll"]
        return value if math.isfinite(value) else None

    folders = tuple(map(str, fit_on.folders))
    return weights_P, Fit(folders, len(scored), compared, nll(equal), nll(found))


def _rows(scores_QN: np.ndarray, exists_QN: np.ndarray) -> list[tuple[float, ...]]:
    return [tuple(scores[: int(n)].tolist()) for scores, n in zip(scores_QN, exists_QN.sum(-1), strict=True)]


def _blended(parts: Sequence[Part], weights_P: np.ndarray, mean: str) -> tuple[Prediction, ...]:
    scores_PQN, exists_QN = padded_scores([[each.scores for each in part.predictions] for part in parts])
    rows = _rows(blend(scores_PQN, exists_QN, weights_P, mean), exists_QN)
    first = parts[0].predictions
    lost = [(p.dataset, p.id) for p, row in zip(first, rows, strict=True) if max(row) == -math.inf]
    if lost:
        raise UserError(
            f"id {listed_keys(lost)}: no option is scored by all runs, so their logits have no mean; use "
            "--mean probability"
        )
    digests = (
        next((each.digest for each in same if each.digest), None)
        for same in zip(*(part.predictions for part in parts), strict=True)
    )
    return tuple(
        replace(p, scores=row, loglikelihood=None, option_tokens=None, digest=digest)
        for p, row, digest in zip(first, rows, digests, strict=True)
    )


def shared_baselines(stated: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The baselines that all runs state alike; those that depend on a run's training may differ, and are left out."""
    first = {name: value for name, value in stated[0].items() if name.startswith("floor_")}

    def of_baseline(name: str) -> str:
        return name.split("_")[1]

    def known(value: Any) -> Any:
        return without_last_bits(value) if isinstance(value, int | float) else value

    differing = {
        of_baseline(name)
        for name, value in first.items()
        if any(known(each.get(name)) != known(value) for each in stated)
    }
    return {name: value for name, value in first.items() if of_baseline(name) not in differing}


def results_of(result: Blend) -> dict[str, Any]:
    """The content of predict_results.json."""
    if not result.answered:
        return {}
    baselines = {**random_baseline(result.predictions), **shared_baselines([part.stated for part in result.parts])}
    return {**measured(result.predictions), **baselines}


def best_part(result: Blend) -> Part | None:
    """The part with the highest MAP@3, the first of equal ones; None without answers."""
    if not result.answered:
        return None
    return max(result.parts, key=lambda part: measured(part.predictions)["predict_map@3"])


def record(result: Blend) -> dict[str, Any]:
    """The content of blend.json."""
    best = best_part(result)
    compared = {} if best is None else differences(result.predictions, best.predictions)
    return {
        "format": FORMAT,
        "mean": result.mean,
        "weights_from": result.source,
        "parts": [
            {
                "name": part.name,
                "folder": str(part.folder),
                "sha256": part.sha256,
                "weight": weight,
                **_bare(measured(part.predictions)),
            }
            for part, weight in zip(result.parts, result.weights, strict=True)
        ],
        "fit": None if result.fit is None else vars(result.fit) | {"folders": list(result.fit.folders)},
        "blend": {"questions": len(result.predictions), **_bare(measured(result.predictions))},
        "best_part": None if best is None else best.name,
        "difference": {
            name: {"difference": each.difference, "low": each.low, "high": each.high, "p": each.p}
            for name, each in compared.items()
        },
    }


def _bare(values: Mapping[str, float]) -> dict[str, float]:
    return {name.removeprefix("predict_"): value for name, value in values.items()}


def lines(result: Blend) -> list[str]:
    """What is printed: weights, the scores of parts and blend, and the difference from the best part."""
    sources = {EQUAL: "equal", GIVEN: "as given", FIT: "fitted"}
    shown = ", ".join(f"{part.name} {weight:.3f}" for part, weight in zip(result.parts, result.weights, strict=True))
    text = [f"weights ({sources[result.source]}, mean of {PLURALS[result.mean]}): {shown}"]
    if result.fit is not None:
        text.append(f"fitted on {result.fit.questions:,} questions; none of them is scored, by {result.fit.compared}")
    best = best_part(result)
    if best is None:
        return [*text, "no scores: the questions have no answers"]
    of_all = {part.name: measured(part.predictions) for part in result.parts}
    results = results_of(result)
    text += ["", *score_table({**of_all, NAME: results}, {NAME: results})]
    for metric, each in differences(result.predictions, best.predictions).items():
        text.append(difference_line(metric, NAME, f"{best.name} (the best part)", each, result.answered))
    return text


PLURALS = {"probability": "probabilities", "logit": "logits", "rank": "ranks"}


def write_blend(result: Blend, out: Path) -> None:
    """Write the files of a prediction and blend.json, all or nothing."""
    with replacing_prediction(out, results_of(result)) as folder:
        write_predictions(result.predictions, folder)
        write_synced(folder / BLEND, json.dumps(record(result), indent=1, ensure_ascii=False) + "\n")
