"""Oddities of a run's questions: leaks, places that are never right, questions without a choice."""

from __future__ import annotations

import pytest

from llmtuner.data.question import Question
from llmtuner.data.scoring import scoring_oddities


def ask(row: int, answer: int | None = None, **more: object) -> Question:
    answer = row % 5 if answer is None else answer
    values = {"options": tuple(f"{letter}{row}" for letter in "vwxyz"), "answer": answer, "file": "t.csv", "line": row}
    return Question(str(row), f"{row}?", **{**values, **more})


FAIR = [ask(row) for row in range(60)]


def test_fair_questions_give_no_warning():
    assert scoring_oddities(FAIR, [ask(row + 100) for row in range(60)]) == []


def test_one_place_in_training_or_in_scoring_is_said_with_its_count():
    """A training on answers that are all A had MAP@3 1.0 on such a test, without a word."""
    always_a = [ask(row, 0) for row in range(12)]
    training, scored = scoring_oddities(always_a, [ask(row + 100, 0) for row in range(12)])
    assert "all 12 answers of the training questions are A" in training
    assert "all 12 answers of the scored questions are A" in scored
    assert scoring_oddities(always_a[:9]) == [], "nine may be chance"


def test_a_place_that_is_never_right_is_named():
    """A file with answers from 1 that is read from 0 never has A."""
    shifted = [ask(row, 1 + row % 3) for row in range(60)]
    (line,) = scoring_oddities(shifted)
    assert "never A or E in 60 scored questions" in line
    assert scoring_oddities(shifted[:49]) == [], "from 50 on"
    short = [ask(row, row % 2, options=("a", "b")) for row in range(60)]
    assert scoring_oddities(short) == [], "C does not exist in these questions"


def test_leaks_are_counted_by_text_options_and_context():
    """ScienceQA asks one question about many contexts; as leaks these would hide the real ones."""
    again = [ask(row, options=tuple(f"{letter}{row}" for letter in "zyxwv")) for row in range(7)]
    (line,) = scoring_oddities(FAIR, [ask(100), *again])
    assert "7 of 60 scored questions are also in the training data, the first at t.csv:0" in line
    other_options = [ask(row, options=("1", "2", "3", "4", "5")) for row in range(60)]
    assert scoring_oddities(FAIR, other_options) == []
    read = [ask(row, context=f"about {row}") for row in range(60)]
    (line,) = scoring_oddities(read, [*read[:2], *(ask(row, context="about another") for row in range(2, 60))])[1:]
    assert "58 of 60 scored questions are in the training data with another context, the first at" in line
    assert "60 of 60" in scoring_oddities(read, FAIR)[0], "without a context it is the same question"
    (line,) = scoring_oddities(FAIR[:5], FAIR)
    assert "5 of 5" in line, "a small test had no warning"


def test_a_question_of_weight_0_was_not_trained_on():
    """24 of 24 were said to be in the training data, although 8 of them had been left out by their weight."""
    scored = [ask(row, row % 5) for row in range(24)]
    trained = [ask(row, row % 5, weight=float(row >= 8)) for row in range(24)]
    assert any(line.startswith("16 of 24 scored questions") for line in scoring_oddities(scored, trained))


@pytest.mark.parametrize(
    ("options", "answer", "expected"),
    [
        (("same", "same ", "same"), 0, "2 of 62 scored questions have only equal options, the first at t.csv:900"),
        (("", "b", "c"), 0, "the answer of 2 of 62 scored questions is a blank option, the first at t.csv:900"),
        (("", "b", "c"), 1, ""),
        (("", " ", ""), 1, "2 of 62 scored questions have only equal options"),
    ],
)
def test_questions_without_a_choice_are_counted(options, answer, expected):
    odd = [ask(row, answer, options=options) for row in (900, 901)]
    assert [line[: len(expected)] for line in scoring_oddities([*FAIR, *odd])] == ([expected] if expected else [])


def test_questions_without_an_answer_are_not_scored():
    unknown = [Question(str(row), f"{row}?", ("same", "same")) for row in range(60)]
    assert scoring_oddities(unknown, unknown) == []
