"""Answers of a file are read in one style, and never in silence where they could mean another option."""

from __future__ import annotations

import csv
import json
import re

import pytest

from llmtuner.data.load import inspect_questions, read_questions
from llmtuner.data.read_as import ReadAs
from llmtuner.errors import DataError

VITAMINS = ["Vitamin C", "Vitamin A", "Vitamin D", "Vitamin B"]


def table(path, answers, options=VITAMINS):
    rows = [options if isinstance(options[0], str) else options[row] for row in range(len(answers))]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", *"ABCD", "answer"])
        writer.writerows([f"Question {row}?", *rows[row], answer] for row, answer in enumerate(answers))
    return path


def numbers(path, answers, **more):
    rows = [
        {"question": f"Q{row}?", "choices": VITAMINS, "answer": answer, **more} for row, answer in enumerate(answers)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def refusal(path, purpose="train", **more) -> str:
    with pytest.raises(DataError) as error:
        read_questions(path, purpose=purpose, **more)
    return str(error.value)


def answers_of(path, purpose="train", base="auto"):
    return [q.answer for q in read_questions(path, purpose=purpose, read_as=ReadAs(answer_base=base)).questions]


def test_answers_as_texts_are_read_with_a_notice(tmp_path):
    """ "Vitamin C" is the text of option A; the advice was to write C."""
    reading = read_questions(table(tmp_path / "exam.csv", ["Vitamin C", "Vitamin B"]), purpose="train")
    assert [question.answer for question in reading.questions] == [0, 3]
    assert ["read as the texts of the options" in str(warning) for warning in reading.warnings] == [True]


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("Vitamin C", "text of option A: write only the letter: A"),
        ("(B)", "write only the letter: B"),
        ("B.", "write only the letter: B"),
        ("b)", "write only the letter: B"),
        ("Answer: B", "write only the letter: B"),
        ("B. Vitamin A", "write only the letter: B"),
        ("\uff22", "write only the letter: B"),
        ("Ⓑ", "write only the letter: B"),
        ("\u0412", "Cyrillic Capital Letter Ve (U+0412), which looks like B; write the Latin letter: B"),
        ("\u0391", "Greek Capital Letter Alpha (U+0391), which looks like A; write the Latin letter: A"),
        ("A, C", "one answer only"),
        ("AC", "one answer only"),
        ("A and C", "one answer only"),
        ("(A)(C)", "one answer only"),
        ("2", "--mcq_answer_base 0, or 1"),
    ],
)
def test_the_advice_is_right(tmp_path, written, advice):
    """One row is wrong among others that are right."""
    message = refusal(table(tmp_path / "exam.csv", ["A", written, "D"]), "predict")
    assert "exam.csv:3: answer " in message
    assert advice in message


@pytest.mark.parametrize("written", ["B. Vitamin D", "Vitamin", "Vitamin C and D", "?", "N/A", "the first one", "Z"])
def test_no_letter_is_advised_where_none_is_meant(tmp_path, written):
    assert "write only the letter" not in refusal(table(tmp_path / "exam.csv", ["A", written]), "predict")


@pytest.mark.parametrize("written", ["(B)", "B.", "\uff22", "\u0412", "Vitamin A"])
def test_a_file_that_follows_the_advice_reads_as_meant(tmp_path, written):
    message = refusal(table(tmp_path / "exam.csv", ["A", written]), "predict")
    letter = message.rsplit("letter: ", 1)[1][0]
    assert answers_of(table(tmp_path / "exam.csv", ["A", letter])) == [0, 1]


BLOOD = [["B", "A", "AB", "O"], ["AB", "B", "O", "A"], ["O", "AB", "B", "A"]]


def test_texts_that_are_letters_are_named(tmp_path):
    """Blood groups: "A" is the text of option B, and was read as option A without a word."""
    reading = read_questions(table(tmp_path / "exam.csv", ["A", "AB", "O"], BLOOD), purpose="train")
    assert [question.answer for question in reading.questions] == [1, 0, 0]
    [_notice, ambiguous] = map(str, reading.warnings)
    assert "exam.csv:2: answer 'A' may mean option A or be the text of option B; it is read as a text" in ambiguous
    assert answers_of(table(tmp_path / "exam.csv", ["A", "B", "A"], BLOOD), base="letter") == [0, 1, 0]
    assert answers_of(table(tmp_path / "exam.csv", ["A", "B", "A"], BLOOD), base="text") == [1, 1, 3]


def test_letters_that_are_texts_too_are_named(tmp_path):
    reading = read_questions(table(tmp_path / "exam.csv", ["A", "D", "C"], BLOOD), purpose="train")
    assert [question.answer for question in reading.questions] == [0, 3, 2]
    assert "read as a letter" in str(reading.warnings[0])


def test_a_mix_of_letters_and_texts_is_refused_with_the_ambiguous_rows(tmp_path):
    message = refusal(table(tmp_path / "exam.csv", ["A", "AB", "D"], BLOOD))
    assert "exam.csv:3: answer 'AB' is not one of A-D" in message
    assert "exam.csv:2: answer 'A' may mean option A or be the text of option B" in message


@pytest.mark.parametrize("answers", [[1, 2, 3], ["1", "2", "3"], [1.0, 2.0, 3.0]])
def test_numbers_without_a_zero_stop_training_and_warn_in_prediction(tmp_path, answers):
    """Counted from 1, every answer was wrong by one, in silence."""
    path = numbers(tmp_path / "exam.jsonl", answers)
    assert "exam.jsonl:1: no answer is 0" in refusal(path)
    assert "--mcq_answer_base 1" in refusal(path)
    reading = read_questions(path, purpose="predict")
    assert [question.answer for question in reading.questions] == [1, 2, 3]
    assert "--mcq_answer_base 1" in str(reading.warnings[0])
    assert answers_of(path, base="0") == [1, 2, 3]
    assert answers_of(path, base="1") == [0, 1, 2]
    assert len(inspect_questions(path).errors) == 1


def test_numbers_up_to_the_number_of_options_are_refused_once(tmp_path):
    path = numbers(tmp_path / "exam.jsonl", [1, 4, 3])
    for purpose in ("train", "predict"):
        assert refusal(path, purpose).count("problem") == 0
        assert "seem to be counted from 1" in refusal(path, purpose)
    assert answers_of(path, base="1") == [0, 3, 2]
    assert len(inspect_questions(path).errors) == 1


def test_a_form_that_says_how_it_counts_needs_no_zero(tmp_path):
    assert answers_of(numbers(tmp_path / "exam.jsonl", [1, 2], subject="biology")) == [1, 2]


def test_a_base_that_the_answers_do_not_have_is_refused(tmp_path):
    path = numbers(tmp_path / "exam.jsonl", [0, 2])
    assert "answer 0 is outside the 4 options; expected 1 to 4" in refusal(path, read_as=ReadAs(answer_base="1"))
    assert "must be text, found int 0" in refusal(path, read_as=ReadAs(answer_base="letter"))
    assert "is not the text of one option" in refusal(path, read_as=ReadAs(answer_base="text"))


@pytest.mark.parametrize("answer", ["B", "Vitamin A", 1, "1", 1.0])
def test_a_plain_file_may_write_answers_in_any_one_style(tmp_path, answer):
    zeroth = {str: {"B": "A", "Vitamin A": "Vitamin C", "1": "0"}.get(answer, 0), int: 0, float: 0.0}[type(answer)]
    assert answers_of(numbers(tmp_path / "exam.jsonl", [answer, zeroth])) == [1, 0]


@pytest.mark.parametrize("answer", [True, [1], {"a": 1}, 1.5])
def test_an_answer_that_is_no_number_is_no_traceback(tmp_path, answer):
    assert "must be a whole number counted from 0" in refusal(numbers(tmp_path / "exam.jsonl", [0, answer]), "predict")


def test_a_text_that_two_options_have_is_no_answer(tmp_path):
    path = table(tmp_path / "exam.csv", ["tin", "oak"], [["tin", "oak", "tin", "sun"], ["tin", "oak", "ray", "sun"]])
    assert "answer 'tin' is not one of A-D" in refusal(path)


def test_more_options_than_letters_are_refused_without_a_traceback(tmp_path):
    """An option behind the tenth has no letter to name it by."""
    options = [f"option {number}" for number in range(12)]
    path = tmp_path / "exam.jsonl"
    for answer in ("option 11", "L", 11, "nothing"):
        path.write_text(json.dumps({"prompt": "Q?", "question": "Q?", "choices": options, "answer": answer}) + "\n")
        assert "exam.jsonl:1: " in refusal(path, "predict")


@pytest.mark.parametrize(
    ("labels", "answer", "advice"),
    [
        ("1234", "B", "if it means option B, write that option's label: '2'"),
        ("1234", "Vitamin A", "it is the text of an option: write its label: '2'"),
        ("1234", "7", "write the label of the right option"),
    ],
)
def test_the_advice_for_a_label_can_be_followed(tmp_path, labels, answer, advice):
    """The advice was to write the letter B, which is not one of the labels either."""
    row = {"question": "Q?", "choices": {"text": VITAMINS, "label": list(labels)}, "answerKey": answer}
    path, first = tmp_path / "exam.jsonl", json.dumps(row | {"answerKey": "3"}) + "\n"
    path.write_text(first + json.dumps(row))
    assert refusal(path).endswith(advice)
    if label := re.search(r"label: '(.)'", advice):
        path.write_text(first + json.dumps(row | {"answerKey": label[1]}))
        assert answers_of(path) == [2, 1]


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        ([0, 2], "one answer only"),
        ([0, 0, 1, 0], "if it marks the right option with 1, write that option's number, counted from 0: 2"),
        ([1], "write it without the list: 1"),
    ],
)
def test_an_answer_in_a_list_is_named(tmp_path, answer, advice):
    assert advice in refusal(numbers(tmp_path / "exam.jsonl", [0, answer]))


@pytest.mark.parametrize(
    ("labels", "answers"), [(["1", "2", "3", "4"], [2, 1]), ([1, 2, 3, 4], [2, 1]), ([0, 1, 2, 3], [1, 0])]
)
def test_a_number_is_the_label_where_the_options_have_numbers_as_labels(tmp_path, labels, answers):
    """Labels 1 to 4 and the answer 2: it was read as counted from 0, or refused as no text."""
    path = tmp_path / "exam.jsonl"
    for key, form in (("answer", "choices"), ("answerKey", "ai2")):
        rows = [{"question": "Q?", "choices": {"text": VITAMINS, "label": labels}, key: answer} for answer in answers]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert answers_of(path) == [1, 0], form
