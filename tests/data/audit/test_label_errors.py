"""Label errors: a good model's predictions find planted errors; predictions of other questions are rejected."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest

from llmtuner.data.audit.label_errors import MIN_GROUP, label_errors, pair_up
from llmtuner.data.duplicates import question_digest
from llmtuner.data.predictions import Prediction
from llmtuner.data.question import Question
from llmtuner.errors import UserError


def exam(number: int, options: int = 4, file: str = "exam.csv") -> list[Question]:
    return [
        Question(str(i), f"Question {i}?", tuple("abcdefgh"[:options]), i % options, file=file, line=i + 2)
        for i in range(number)
    ]


def predicted(questions: list[Question], *, confidence: float = 3.0, seed: int = 0) -> list[Prediction]:
    """The predictions of a good model: noisy scores, with the answer's score raised."""
    rng = random.Random(seed)
    return [
        Prediction(q.id, tuple(rng.gauss(confidence * (place == q.answer), 0.5) for place in range(len(q.options))))
        for q in questions
    ]


def with_errors(questions: list[Question], wrong: set[int]) -> list[Question]:
    return [
        replace(q, answer=(q.answer + 1) % len(q.options)) if place in wrong else q for place, q in enumerate(questions)
    ]


def test_planted_errors_are_found_and_listed_with_both_probabilities():
    clean, wrong = exam(400), set(range(3, 400, 17))
    labelled = with_errors(clean, wrong)
    pairs = pair_up(labelled, predicted(clean), "predictions.jsonl")
    result = label_errors(labelled, pairs)
    assert {int(suspect.row.id) for suspect in result.suspects} <= wrong
    assert len(result.suspects) >= 0.8 * len(wrong)
    for suspect in result.suspects:
        right = clean[int(suspect.row.id)]
        assert suspect.row.answer == "ABCD"[(right.answer + 1) % 4]
        assert suspect.likely == right.answer_letter
        assert suspect.given_probability < 0.2 < 0.6 < suspect.likely_probability
        assert suspect.row.where == f"exam.csv:{right.line}"
    gaps = [suspect.given_probability - suspect.likely_probability for suspect in result.suspects]
    assert gaps == sorted(gaps)
    assert (result.looked_at, result.without_prediction, result.too_few) == (400, 0, 0)
    assert result.accuracy == pytest.approx(1 - len(wrong) / 400, abs=1e-6)


def test_right_answers_are_not_doubted():
    clean = exam(300)
    assert label_errors(clean, pair_up(clean, predicted(clean, confidence=6.0), "p")).suspects == ()


def test_numbers_of_options_are_looked_at_apart_and_small_groups_passed_over():
    clean = [*exam(200), *(replace(q, id=f"two {q.id}") for q in exam(200, options=2))]
    clean += [replace(q, id=f"three {q.id}") for q in exam(MIN_GROUP - 1, options=3)]
    labelled = with_errors(clean, {11, 15, 19, 222, 224, 226, 410})
    result = label_errors(labelled, pair_up(labelled, predicted(clean, confidence=6.0), "p"))
    names = {suspect.row.id for suspect in result.suspects}
    assert names <= {"11", "15", "19", "two 22", "two 24", "two 26"}
    assert {len(name) > 2 for name in names} == {True, False}, "some of either group"
    assert (result.looked_at, result.too_few) == (400, MIN_GROUP - 1)


def test_accuracy_is_of_what_was_looked_at():
    """For 40 predictions, too few to check, the report said: 0 of 0, by a model that is right on 92.5 %."""
    few = exam(MIN_GROUP - 1)
    result = label_errors(few, pair_up(few, predicted(few), "p"))
    assert (result.looked_at, result.too_few, result.accuracy, result.chance) == (0, MIN_GROUP - 1, None, None)


def test_questions_without_answer_or_prediction_are_left_out_and_counted():
    clean = exam(200)
    labelled = [replace(q, answer=None) if q.id == "0" else q for q in clean]
    result = label_errors(labelled, pair_up(labelled, predicted(clean)[:150], "p"))
    assert (result.looked_at, result.without_prediction) == (149, 50)


def test_a_letter_that_is_never_the_answer_stops_nothing():
    clean = [replace(q, answer=q.answer % 2) for q in exam(200)]
    assert label_errors(clean, pair_up(clean, predicted(clean, confidence=6.0), "p")).suspects == ()


def test_files_that_share_ids_are_paired_in_order():
    questions = [*exam(60, file="a.csv"), *exam(60, file="b.csv")]
    pairs = pair_up(questions, predicted(questions), "p")
    assert [question.file for question, _ in pairs] == ["a.csv"] * 60 + ["b.csv"] * 60


def test_predictions_in_another_order_are_paired_by_id():
    clean = exam(60)
    for question, prediction in pair_up(clean, predicted(clean)[::-1], "p"):
        assert question.id == prediction.id


OWN = exam(4)
TWICE = [*exam(4, file="a.csv"), *exam(4, file="b.csv")]


@pytest.mark.parametrize(
    ("questions", "predictions", "message"),
    [
        (OWN, [Prediction("9", (1.0, 2.0, 3.0, 4.0))], "p.jsonl: id '9' is in none of the files"),
        (
            OWN,
            [Prediction(name, (1.0,) * 4) for name in ("9", "10", "0")],
            "id '9' and 1 more are in none of the files",
        ),
        (OWN, [Prediction("1", (1.0, 2.0))], "id '1' has 2 scores for the 4 options of exam.csv:3"),
        (OWN, [Prediction("1", (1.0,) * 4, answer=3)], "id '1' has the answer D, exam.csv:3 has the answer B"),
        (
            [replace(OWN[0], answer=None)],
            [Prediction("0", (1.0,) * 4, answer=3)],
            "has the answer D, exam.csv:2 has no answer",
        ),
        (
            TWICE,
            [Prediction("1", (1.0,) * 4)],
            "id '1' belongs to 2 questions of the files; audit the predicted file alone",
        ),
        (OWN, [Prediction("1", (1.0,) * 4)] * 2, "id '1' is predicted more than once"),
    ],
)
def test_predictions_of_other_questions_are_rejected(questions, predictions, message):
    with pytest.raises(UserError, match=re.escape(message)):
        pair_up(questions, predictions, "p.jsonl")


def test_predictions_of_another_exam_with_equal_ids_are_refused():
    """Two files without ids number their rows from 0: the audit judged the answers of one by the model of the other."""
    questions = exam(3)
    made = [replace(p, digest=question_digest(q)) for p, q in zip(predicted(questions), questions, strict=True)]
    assert pair_up(questions, made, "predictions.jsonl")
    other = [replace(q, options=q.options[::-1]) if q.id == "1" else q for q in questions]
    with pytest.raises(UserError, match=r"predictions.jsonl: id '1' is of another question than exam.csv:3"):
        pair_up(other, made, "predictions.jsonl")
