"""A cascade: a small model scores all questions, a large one those of which the small one is least certain."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.data.baselines import baselines_of
from llmtuner.data.prediction_files import replacing_prediction
from llmtuner.data.predictions import Prediction, write_predictions
from llmtuner.data.question import Question
from llmtuner.errors import UserError
from llmtuner.files import write_synced
from llmtuner.report.prediction_scores import difference_line, differences, measured
from llmtuner.report.summary import score_table

CASCADE, FORMAT = "cascade.json", 1
TRIAL = 32  # questions by which the large model's speed is measured
SHARES = tuple(tenth / 10 for tenth in range(11))  # of the estimate
Score = Callable[[Sequence[Question]], list[Prediction]]


@dataclass(frozen=True)
class Cascade:
    """What both models said.

    Args:
        questions: all of them, in order.
        small: predictions of all questions.
        large: those of the questions at `rows`, in that order: the least certain first.
        seconds: that each model took to score, without its loading.
    """

    questions: Sequence[Question]
    small: Sequence[Prediction]
    rows: Sequence[int]
    large: Sequence[Prediction]
    seconds: tuple[float, float]

    @property
    def predictions(self) -> list[Prediction]:
        """The large model's where it was asked, else the small one's."""
        combined = list(self.small)
        for row, prediction in zip(self.rows, self.large, strict=True):
            combined[row] = prediction
        return combined

    @property
    def share(self) -> float:
        """Of the questions that the large model scored."""
        return len(self.rows) / len(self.questions)

    def hours(self, share: float) -> float | None:
        """An estimate for the same number of questions with another share; None if the large model scored none."""
        if not self.rows:
            return None
        small, large = self.seconds
        return (small + share * len(self.questions) * large / len(self.rows)) / 3600


def least_certain(predictions: Sequence[Prediction]) -> list[int]:
    """Rows by the margin between the two highest probabilities, the smallest first; equal ones in their order.

    Source: margin sampling, Scheffer, Decomain and Wrobel, "Active hidden Markov models for information extraction"
    (IDA 2001); cascades by confidence, Viola and Jones (CVPR 2001) and FrugalGPT (Chen, Zaharia and Zou 2023).
    """

    def margin(row: int) -> float:
        first, second = sorted(predictions[row].probabilities, reverse=True)[:2]
        return first - second

    return sorted(range(len(predictions)), key=margin)


def run_cascade(
    questions: Sequence[Question],
    small: Callable[[], Score],
    large: Callable[[], Score],
    *,
    share: float | None = None,
    hours: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Cascade:
    """Score with both models; one of `share` and `hours` says how much the large one does.

    Args:
        small, large: load a model and return what scores with it; the large one is loaded after the small one is done.
        share: of the questions that the large model scores, rounded.
        hours: for both models to score. The large one's speed is measured on `TRIAL` questions, which it scores anyway.
        clock: in seconds.

    Raises:
        UserError: no questions, a share outside 0 to 1, hours that are not above 0, or not exactly one of them.
    """
    if not questions:
        raise UserError("there are no questions to score")
    if (share is None) == (hours is None):
        raise UserError("pass either --share or --hours")
    if share is not None and not 0 <= share <= 1:
        raise UserError(f"--share {share:g}: expected a number from 0 to 1")
    if hours is not None and not 0 < hours < math.inf:
        raise UserError(f"--hours {hours:g}: expected a number above 0")
    first, spent = _timed(small(), questions, clock)
    order = least_certain(first)
    if share is not None:
        rows = order[: round(share * len(order))]
        large_predictions, seconds = _timed(large(), [questions[row] for row in rows], clock) if rows else ([], 0.0)
        return Cascade(questions, first, rows, large_predictions, (spent, seconds))
    left = 3600 * (hours or 0.0) - spent
    if left <= 0:
        return Cascade(questions, first, [], [], (spent, 0.0))
    score, trial = large(), order[:TRIAL]
    predictions, seconds = _timed(score, [questions[row] for row in trial], clock)
    further = int(max(0.0, left - seconds) / max(seconds / len(trial), 1e-9))
    rest = order[len(trial) : len(trial) + further]
    if rest:
        more, more_seconds = _timed(score, [questions[row] for row in rest], clock)
        predictions, seconds = [*predictions, *more], seconds + more_seconds
    return Cascade(questions, first, [*trial, *rest], predictions, (spent, seconds))


def _timed(score: Score, questions: Sequence[Question], clock: Callable[[], float]) -> tuple[list[Prediction], float]:
    start = clock()
    predictions = score(questions)
    return predictions, clock() - start


def record(result: Cascade, small: Path, large: Path) -> dict[str, Any]:
    """The content of cascade.json."""
    on_share = [result.small[row] for row in result.rows]
    return {
        "format": FORMAT,
        "small": str(small),
        "large": str(large),
        "questions": len(result.questions),
        "scored_by_large": len(result.rows),
        "share": result.share,
        "scores": {
            name: {key.removeprefix("predict_"): value for key, value in measured(predictions).items()}
            for name, predictions in (
                ("small", result.small),
                ("small_on_share", on_share),
                ("large_on_share", result.large),
                ("cascade", result.predictions),
            )
        },
        "difference": {
            name: {"difference": each.difference, "low": each.low, "high": each.high, "p": each.p}
            for name, each in differences(result.predictions, result.small).items()
        },
        "seconds": {"small": round(result.seconds[0], 3), "large": round(result.seconds[1], 3)},
        "estimate": [{"share": share, "hours": result.hours(share)} for share in SHARES],
    }


def results_of(result: Cascade) -> dict[str, Any]:
    """The content of predict_results.json."""
    seconds = sum(result.seconds)
    return {
        **measured(result.predictions),
        **baselines_of(result.questions),
        "predict_runtime": round(seconds, 4),
        "predict_samples_per_second": round(len(result.questions) / max(seconds, 1e-9), 3),
    }


def write_cascade(result: Cascade, out: Path, small: Path, large: Path) -> None:
    """Write the files of a prediction and cascade.json, all or nothing."""
    with replacing_prediction(out, results_of(result)) as folder:
        write_predictions(result.predictions, folder)
        content = json.dumps(record(result, small, large), indent=1, ensure_ascii=False)
        write_synced(folder / CASCADE, content + "\n")


def lines(result: Cascade) -> list[str]:
    """What is printed: scores, seconds, the difference from the small model, and hours for other shares."""
    small, large = result.seconds
    count = f"{len(result.rows):,} of {len(result.questions):,} questions"
    text = [f"small: {small:.1f} s for all; large: {large:.1f} s for the {count} with the smallest margin"]
    tables = {
        "small": measured(result.small),
        "small, on share": measured([result.small[row] for row in result.rows]),
        "large, on share": measured(result.large),
    }
    whole = results_of(result)
    if "predict_map@3" in whole:
        models = {name: figures for name, figures in tables.items() if figures}
        text += ["", *score_table({**models, "cascade": whole}, {"cascade": whole})]
        answered = sum(each.answer is not None for each in result.small)
        for metric, each in differences(result.predictions, result.small).items():
            text.append(difference_line(metric, "cascade", "small", each, answered))
    if result.rows:
        shown = ", ".join(f"{share:.0%} {result.hours(share):.3g} h" for share in (0.0, 0.1, 0.3, 0.5, 1.0))
        text.append(f"estimate for as many questions, by share: {shown}")
    return text
