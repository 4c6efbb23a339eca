"""Trainings that differ in their data only (arms), over the same seeds, compared question by question.

Shapes: S seeds, Q questions.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evidence.command_line import train_and_score
from evidence.parallel import run_parallel
from evidence.report import per_question
from llmtuner.data.predictions import Prediction, read_predictions
from llmtuner.data.question import Question
from llmtuner.metrics import accuracy, paired_interval


@dataclass(frozen=True)
class Training:
    """One arm with one seed.

    Args:
        flags: of the training, without model, seed, files and folders.
        tests: files to score, by the name of the folder in `out` that gets the predictions.
        out: folder of the predictions.
    """

    flags: Sequence[str]
    model: str
    train: Path
    tests: Mapping[str, Path]
    out: Path
    seed: int


def train_arms(trainings: Iterable[Training], *, parallel: int, threads: int, minutes: float = math.inf) -> None:
    """Run the trainings that have no result yet, `parallel` at a time; after `minutes` none starts."""

    def run(training: Training) -> None:
        files = training.train, training.tests, training.out
        train_and_score(training.flags, training.model, *files, seed=training.seed, threads=threads)

    run_parallel(run, trainings, parallel, minutes=minutes)


def read_arm(trainings: Iterable[Path], test: str) -> list[list[Prediction]]:
    """The predictions of an arm for one test file: a list for each training's folder."""
    return [read_predictions(out / test / "predictions.jsonl") for out in trainings]


@dataclass(frozen=True)
class ArmResult:
    """The figures of one arm.

    Args:
        map3_SQ: MAP@3 of each seed and question.
        baseline_SQ: the same of the baseline, with the same seeds and questions.
        accuracy_S: accuracy of each seed.
        groups_Q: questions with equal ones are no independent evidence, such as those on one passage.
    """

    map3_SQ: np.ndarray
    baseline_SQ: np.ndarray
    accuracy_S: list[float]
    groups_Q: Sequence[Hashable]

    @property
    def map3_S(self) -> list[float]:
        """MAP@3 of each seed."""
        return self.map3_SQ.mean(1).tolist()

    def difference(self, part_Q: np.ndarray | None = None) -> dict[str, Any]:
        """MAP@3 less the baseline's: the mean over seeds and questions, with its 95 % interval.

        Args:
            part_Q: mask of the questions that count; None for all.
        """
        difference_SQ, groups = self.map3_SQ - self.baseline_SQ, self.groups_Q
        if part_Q is not None:
            difference_SQ = difference_SQ[:, part_Q]
            groups = [group for group, counts in zip(groups, part_Q, strict=True) if counts]
        return {"difference": float(difference_SQ.mean()), "interval": paired_interval(difference_SQ, groups)}


def compare_arms(
    predictions: Mapping[str, Sequence[Sequence[Prediction]]],
    questions: Sequence[Question],
    *,
    baseline: str,
    groups_Q: Sequence[Hashable] | None = None,
) -> dict[str, ArmResult]:
    """The figures of every arm beside those of the baseline, paired by seed and question.

    Args:
        predictions: of each arm, a list for each seed; all arms have the same seeds in the same order. Predictions
            belong to questions by their ids, in any order.
        questions: with answers.
        baseline: the arm that the others are compared with.
        groups_Q: of each question; if None, each question is its own group.

    Raises:
        ValueError: arms have different numbers of seeds, or a question has no answer or no prediction.
    """
    unanswered = [question.id for question in questions if question.answer is None]
    if unanswered:
        raise ValueError(f"question {unanswered[0]} has no answer to score with")
    seeds = {arm: len(of_seeds) for arm, of_seeds in predictions.items()}
    if len(set(seeds.values())) > 1:
        raise ValueError(f"arms have different numbers of seeds, so they cannot be paired: {seeds}")
    answers = [question.answer for question in questions]
    scores = {arm: [_in_order(of_seed, questions) for of_seed in of_seeds] for arm, of_seeds in predictions.items()}
    map3 = {arm: np.array([per_question(of_seed, answers) for of_seed in scores[arm]]) for arm in scores}
    groups_Q = range(len(questions)) if groups_Q is None else groups_Q
    return {
        arm: ArmResult(map3[arm], map3[baseline], [accuracy(of_seed, answers) for of_seed in scores[arm]], groups_Q)
        for arm in predictions
    }


def _in_order(predictions: Sequence[Prediction], questions: Sequence[Question]) -> list[Sequence[float]]:
    """The scores in the order of the questions."""
    scores_by_id = {prediction.id: prediction.scores for prediction in predictions}
    missing = [question.id for question in questions if question.id not in scores_by_id]
    if missing:
        raise ValueError(f"no prediction for question {missing[0]}")
    return [scores_by_id[question.id] for question in questions]
