"""Likely label errors: answers that a trained model contradicts, for a person to check.

Source: confident learning (Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset
labels", Journal of Artificial Intelligence Research 70, 2021), as in their package cleanlab.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from llmtuner.data.audit.rows import AuditRow, row_of
from llmtuner.data.duplicates import question_digest
from llmtuner.data.predictions import Prediction
from llmtuner.data.problems import quoted
from llmtuner.data.question import LETTERS, Question
from llmtuner.errors import UserError

MIN_GROUP = 50  # questions with the same number of options; the thresholds are means over them


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row whose answer is likely wrong, with the model's probabilities of that answer and of its own choice."""

    row: AuditRow
    given_probability: float
    likely: str
    likely_probability: float


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """The comparison of predictions and answers.

    Args:
        looked_at: number of questions with an answer and a prediction that were checked.
        without_prediction: number of questions with an answer and no prediction.
        too_few: number of questions that were skipped, because fewer than `MIN_GROUP` have their number of options.
        accuracy: share of `looked_at` for which the model's first option is the answer; None if there are none.
        chance: the accuracy of a random choice among the options; None if there are none.
        suspects: in descending order of the model's preference for its own choice, in probability.
    """

    looked_at: int
    without_prediction: int
    too_few: int
    accuracy: float | None
    chance: float | None
    suspects: tuple[Suspect, ...]


Pair = tuple[Question, Prediction]


def pair_up(questions: Sequence[Question], predictions: Sequence[Prediction], source: str) -> list[Pair]:
    """Each prediction with its question: in order if all ids agree, else by id.

    Args:
        questions: of all files, in order.
        source: the predictions' file, for messages.

    Raises:
        UserError: the predictions are for other questions, or the ids are ambiguous.
    """
    if [question.id for question in questions] == [prediction.id for prediction in predictions]:
        pairs = list(zip(questions, predictions, strict=True))
    else:
        by_id = {question.id: question for question in questions}
        unknown = [prediction.id for prediction in predictions if prediction.id not in by_id]
        if unknown:
            more = f" and {len(unknown) - 1:,} more are" if len(unknown) > 1 else " is"
            raise UserError(
                f"{source}: id {quoted(unknown[0])}{more} in none of the files; pass the files that were predicted"
            )
        _reject_ambiguous_ids(questions, predictions, source)
        pairs = [(by_id[prediction.id], prediction) for prediction in predictions]
    for question, prediction in pairs:
        _reject_mismatch(question, prediction, source)
    return pairs


def _reject_ambiguous_ids(questions: Sequence[Question], predictions: Sequence[Prediction], source: str) -> None:
    predicted_ids = {prediction.id for prediction in predictions}
    counts = Counter(question.id for question in questions if question.id in predicted_ids)
    shared_id = next((name for name, count in counts.items() if count > 1), None)
    if shared_id is not None:
        raise UserError(
            f"{source}: id {quoted(shared_id)} belongs to {counts[shared_id]} questions of the files; audit the "
            "predicted file alone, or pass all predicted files in the order of the prediction"
        )
    prediction_counts = Counter(prediction.id for prediction in predictions)
    repeated_id = next((name for name, count in prediction_counts.items() if count > 1), None)
    if repeated_id is not None:
        raise UserError(
            f"{source}: id {quoted(repeated_id)} is predicted more than once; keep one prediction for each question"
        )


def _reject_mismatch(question: Question, prediction: Prediction, source: str) -> None:
    mismatch = ""
    if len(prediction.scores) != len(question.options):
        mismatch = f"has {len(prediction.scores)} scores for the {len(question.options)} options of {question.where}"
    elif prediction.answer not in (None, question.answer):
        answer = f"the answer {question.answer_letter}" if question.answer is not None else "no answer"
        mismatch = f"has the answer {LETTERS[prediction.answer or 0]}, {question.where} has {answer}"
    elif not prediction.is_of(question_digest(question)):
        mismatch = f"is of another question than {question.where}, or has its options in another order"
    if mismatch:
        raise UserError(f"{source}: id {quoted(question.id)} {mismatch}; predict this file again, then audit it")


def label_errors(questions: Sequence[Question], pairs: Sequence[Pair]) -> LabelErrors:
    """Rows whose answers are likely wrong, by confident learning.

    Each letter is a class, and questions with the same number of options are one group. The number of wrong answers is
    estimated from the rows in which another letter is at least as probable as its average over the rows where it is
    the answer. That many rows, those with the least probable answers, are suspects (cleanlab's "prune_by_noise_rate").
    With a weak model most suspects are hard questions, not errors. The probabilities must be out of fold: a model that
    was trained on a row believes its answer.

    Raises:
        ImportError: cleanlab is not installed.
    """
    import numpy as np
    from cleanlab.filter import find_label_issues

    from llmtuner.metrics import accuracy

    answered = [(q, p) for q, p in pairs if q.answer is not None]
    by_count: dict[int, list[Pair]] = defaultdict(list)
    for question, prediction in answered:
        by_count[len(question.options)].append((question, prediction))
    suspects, checked = [], []
    for group in by_count.values():
        if len(group) < MIN_GROUP:
            continue
        checked += group
        labels_Q = np.array([question.answer for question, _ in group])
        probabilities_QN = np.array([prediction.probabilities for _, prediction in group])
        with warnings.catch_warnings():
            # cleanlab warns if a letter is never the answer, which says nothing about label errors.
            warnings.simplefilter("ignore", UserWarning)
            is_suspect_Q = find_label_issues(labels_Q, probabilities_QN, n_jobs=1)
        suspects += [_suspect(*group[row]) for row in np.flatnonzero(is_suspect_Q)]
    answered_count = sum(question.answer is not None for question in questions)
    rankings, answers = [p.scores for _, p in checked], [q.answer for q, _ in checked if q.answer is not None]
    return LabelErrors(
        looked_at=len(checked),
        without_prediction=answered_count - len(answered),
        too_few=len(answered) - len(checked),
        accuracy=round(accuracy(rankings, answers), 6) if checked else None,
        chance=round(sum(1 / len(q.options) for q, _ in checked) / len(checked), 6) if checked else None,
        suspects=tuple(sorted(suspects, key=lambda suspect: suspect.given_probability - suspect.likely_probability)),
    )


def _suspect(question: Question, prediction: Prediction) -> Suspect:
    probabilities, choice = prediction.probabilities, prediction.ranking[0]
    return Suspect(
        row=row_of(question),
        given_probability=round(probabilities[question.answer] if question.answer is not None else 0.0, 6),
        likely=choice,
        likely_probability=round(probabilities[LETTERS.index(choice)], 6),
    )
