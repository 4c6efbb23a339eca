"""Trainings on probabilities in place of answers, and on questions that count more or less than others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmtuner.data.question import Question
from llmtuner.errors import DataError, FieldError
from llmtuner.mcq.objective import Objective
from llmtuner.spec.losses import LOSSES

if TYPE_CHECKING:
    import torch

    from llmtuner.mcq.questions import QuestionSet


def check_targets(questions: Sequence[Question], objective: Objective) -> None:
    """Refuse training questions that the objective cannot be trained on.

    Raises:
        FieldError: questions have probabilities, and a loss does not take them.
        DataError: all questions have weight 0.
    """
    if questions and not any(question.weight for question in questions):
        raise DataError(f"{questions[0].where}: all training questions have weight 0; nothing is left to train on")
    first = next((question for question in questions if question.probabilities is not None), None)
    hard = [term.name for term in objective.terms if not LOSSES[term.name].soft]
    if first is not None and hard:
        soft = ", ".join(name for name, loss in LOSSES.items() if loss.soft)
        raise FieldError(
            "loss",
            objective.loss,
            f"the training data have probabilities of the options ({first.where}), which {hard[0]} does not take; "
            f"choose from: {soft}; or remove the column, and the answers count",
        )


def without_weight_0(questions: QuestionSet) -> QuestionSet:
    """The questions that count: with the others in its batches, a training would take other steps than without them."""
    rows = [row for row, question in enumerate(questions.questions) if question.weight]
    return questions if len(rows) == len(questions) or not rows else questions.subset(rows)


def weights_of(batch: dict[str, Any]) -> torch.Tensor:
    """The weight of each question of a batch, [Q]; 0 for one that only fills it up."""
    counted_Q = (batch["labels"] >= 0).float()
    return counted_Q * batch["weights"].to(counted_Q) if "weights" in batch else counted_Q
