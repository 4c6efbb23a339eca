"""Answers that a trained model doubts: likely label errors, for a person to look at.

Source: confident learning (Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset
labels", Journal of Artificial Intelligence Research 70, 2021), as in their package cleanlab.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from llmtuner.data.audit.rows import Row, row_of
from llmtuner.data.predictions import Prediction
from llmtuner.data.problems import shown
from llmtuner.data.question import LETTERS, Question
from llmtuner.errors import UserError

FEWEST = 50  # questions with the same number of options; the thresholds are means over them


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row whose answer is likely wrong, with the model's probabilities of that answer and of its own."""

    row: Row
    given_probability: float
    likely: str
    likely_probability: float


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """What the predictions say of the answers.

    Args:
        looked_at: questions with an answer and a prediction.
        without_prediction: questions with an answer and none.
        too_few: questions that were passed over, as fewer than `FEWEST` have their number of options.
        accuracy: share of `looked_at` where the model's first option is the answer; None where there are none.
        chance: the accuracy of a random choice among the options.
        suspects: those first whose answer lies farthest below the model's, in probability.
    """

    looked_at: int
    without_prediction: int
    too_few: int
    accuracy: float | None
    chance: float | None
    suspects: tuple[Suspect, ...]


Pair = tuple[Question, Prediction]


def pair_up(questions: Sequence[Question], predictions: Sequence[Prediction], source: str) -> list[Pair]:
    """Each prediction with its question: by id or, where files share ids, in order.

    Args:
        questions: of all files, in order.
        source: the predictions' file, for messages.

    Raises:
        UserError: the predictions are of other questions, or ids do not say of which.
    """
    if [question.id for question in questions] == [prediction.id for prediction in predictions]:
        pairs = list(zip(questions, predictions, strict=True))
    else:
        by_id = {question.id: question for question in questions}
        unknown = [prediction.id for prediction in predictions if prediction.id not in by_id]
        if unknown:
            more = f" and {len(unknown) - 1:,} more are" if len(unknown) > 1 else " is"
            raise UserError(
                f"{source}: id {shown(unknown[0])}{more} in none of the files; pass the files that were predicted"
            )
        _refuse_shared(questions, predictions, source)
        pairs = [(by_id[prediction.id], prediction) for prediction in predictions]
    for question, prediction in pairs:
        _refuse_other(question, prediction, source)
    return pairs


def _refuse_shared(questions: Sequence[Question], predictions: Sequence[Prediction], source: str) -> None:
    wanted = {prediction.id for prediction in predictions}
    numbers = Counter(question.id for question in questions if question.id in wanted)
    shared = next((name for name, number in numbers.items() if number > 1), None)
    if shared is not None:
        raise UserError(
            f"{source}: id {shown(shared)} stands for {numbers[shared]} questions of the files; audit the predicted "
            "file alone, or pass all predicted files in the order of the prediction"
        )
    twice = next((name for name, number in Counter(p.id for p in predictions).items() if number > 1), None)
    if twice is not None:
        raise UserError(f"{source}: id {shown(twice)} is predicted more than once; keep one prediction a question")


def _refuse_other(question: Question, prediction: Prediction, source: str) -> None:
    what = ""
    if len(prediction.scores) != len(question.options):
        what = f"has {len(prediction.scores)} scores for the {len(question.options)} options of {question.where}"
    elif prediction.answer not in (None, question.answer):
        given = f"the answer {question.answer_letter}" if question.answer is not None else "no answer"
        what = f"has the answer {LETTERS[prediction.answer or 0]}, {question.where} has {given}"
    if what:
        raise UserError(f"{source}: id {shown(question.id)} {what}; predict this very file, then audit it")


def label_errors(questions: Sequence[Question], pairs: Sequence[Pair]) -> LabelErrors:
    """Rows whose answer confident learning takes for wrong.

    A letter counts as a class, and questions with the same number of options are looked at together. How many answers
    are wrong is estimated from the rows where another letter is at least as probable as it is on average where it is
    the answer; so many rows are suspect, those whose answers lie farthest below (cleanlab's "prune_by_noise_rate").
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
    suspects, looked_at = [], []
    for group in by_count.values():
        if len(group) < FEWEST:
            continue
        looked_at += group
        labels_Q = np.array([question.answer for question, _ in group])
        probabilities_QN = np.array([prediction.probabilities for _, prediction in group])
        with warnings.catch_warnings():
            # It warns where a letter is never the answer: true, and of no use to the reader.
            warnings.simplefilter("ignore", UserWarning)
            found_Q = find_label_issues(labels_Q, probabilities_QN, n_jobs=1)
        suspects += [_suspect(*group[place]) for place in np.flatnonzero(found_Q)]
    known = sum(question.answer is not None for question in questions)
    rankings, answers = [p.scores for _, p in looked_at], [q.answer for q, _ in looked_at if q.answer is not None]
    return LabelErrors(
        looked_at=len(looked_at),
        without_prediction=known - len(answered),
        too_few=len(answered) - len(looked_at),
        accuracy=round(accuracy(rankings, answers), 6) if looked_at else None,
        chance=round(sum(1 / len(q.options) for q, _ in looked_at) / len(looked_at), 6) if looked_at else None,
        suspects=tuple(sorted(suspects, key=lambda its: its.given_probability - its.likely_probability)),
    )


def _suspect(question: Question, prediction: Prediction) -> Suspect:
    probabilities, likely = prediction.probabilities, prediction.ranking[0]
    given = probabilities[question.answer] if question.answer is not None else 0.0
    return Suspect(row_of(question), round(given, 6), likely, round(probabilities[LETTERS.index(likely)], 6))
