"""Label errors: planted ones are found by a good model's predictions; predictions of other questions are refused."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest

from llmtuner.data.audit.label_errors import FEWEST, label_errors, pair_up
from llmtuner.data.predictions import Prediction
from llmtuner.data.question import Question
from llmtuner.errors import UserError


def exam(number: int, options: int = 4, file: str = "exam.csv") -> list[Question]:
    return [
        Question(str(i), f"Question {i}?", tuple("abcdefgh"[:options]), i % options, file=file, line=i + 2)
        for i in range(number)
    ]


def predicted(questions: list[Question], *, confidence: float = 3.0, seed: int = 0) -> list[Prediction]:
    """What a good model says: the answer's score is higher, with noise."""
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
    found = label_errors(labelled, pairs)
    assert {int(suspect.row.id) for suspect in found.suspects} <= wrong
    assert len(found.suspects) >= 0.8 * len(wrong)
    for suspect in found.suspects:
        right = clean[int(suspect.row.id)]
        assert suspect.row.answer == "ABCD"[(right.answer + 1) % 4]
        assert suspect.likely == right.answer_letter
        assert suspect.given_probability < 0.2 < 0.6 < suspect.likely_probability
        assert suspect.row.where == f"exam.csv:{right.line}"
    gaps = [suspect.given_probability - suspect.likely_probability for suspect in found.suspects]
    assert gaps == sorted(gaps)
    assert (found.looked_at, found.without_prediction, found.too_few) == (400, 0, 0)
    assert found.accuracy == pytest.approx(1 - len(wrong) / 400, abs=1e-6)


def test_right_answers_are_not_doubted():
    clean = exam(300)
    assert label_errors(clean, pair_up(clean, predicted(clean, confidence=6.0), "p")).suspects == ()


def test_numbers_of_options_are_looked_at_apart_and_small_groups_passed_over():
    clean = [*exam(200), *(replace(q, id=f"two {q.id}") for q in exam(200, options=2))]
    clean += [replace(q, id=f"three {q.id}") for q in exam(FEWEST - 1, options=3)]
    labelled = with_errors(clean, {11, 15, 19, 222, 224, 226, 410})
    found = label_errors(labelled, pair_up(labelled, predicted(clean, confidence=6.0), "p"))
    names = {suspect.row.id for suspect in found.suspects}
    assert names <= {"11", "15", "19", "two 22", "two 24", "two 26"}
    assert {len(name) > 2 for name in names} == {True, False}, "some of either group"
    assert (found.looked_at, found.too_few) == (400, FEWEST - 1)


def test_accuracy_is_of_what_was_looked_at():
    """Of 40 predictions, too few to look at, it said: none of 0, by a model that is right on 92.5 %."""
    few = exam(FEWEST - 1)
    found = label_errors(few, pair_up(few, predicted(few), "p"))
    assert (found.looked_at, found.too_few, found.accuracy, found.chance) == (0, FEWEST - 1, None, None)


def test_questions_without_answer_or_prediction_are_left_out_and_counted():
    clean = exam(200)
    labelled = [replace(q, answer=None) if q.id == "0" else q for q in clean]
    found = label_errors(labelled, pair_up(labelled, predicted(clean)[:150], "p"))
    assert (found.looked_at, found.without_prediction) == (149, 50)


def test_a_letter_that_is_never_the_answer_stops_nothing():
    clean = [replace(q, answer=q.answer % 2) for q in exam(200)]
    assert label_errors(clean, pair_up(clean, predicted(clean, confidence=6.0), "p")).suspects == ()


def test_files_that_share_ids_are_paired_in_order():
    both = [*exam(60, file="a.csv"), *exam(60, file="b.csv")]
    pairs = pair_up(both, predicted(both), "p")
    assert [question.file for question, _ in pairs] == ["a.csv"] * 60 + ["b.csv"] * 60


def test_predictions_in_another_order_are_paired_by_id():
    clean = exam(60)
    for question, prediction in pair_up(clean, predicted(clean)[::-1], "p"):
        assert question.id == prediction.id


OWN = exam(4)
TWICE = [*exam(4, file="a.csv"), *exam(4, file="b.csv")]


@pytest.mark.parametrize(
    ("questions", "predictions", "said"),
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
            "id '1' stands for 2 questions of the files; audit the predicted file alone",
        ),
        (OWN, [Prediction("1", (1.0,) * 4)] * 2, "id '1' is predicted more than once"),
    ],
)
def test_predictions_of_other_questions_are_refused(questions, predictions, said):
    with pytest.raises(UserError, match=re.escape(said)):
        pair_up(questions, predictions, "p.jsonl")
