"""Counts and lengths: every row is counted once, including unreadable ones."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.audit.counts import counts, lengths
from llmtuner.data.load import inspect_questions
from llmtuner.data.question import Question


def test_each_row_is_counted_as_what_it_is(tmp_path):
    path = tmp_path / "exam.jsonl"
    rows = [
        {"question": "Why?", "choices": ["a", "b"], "answer": 0, "hint": "since"},
        {"question": " why? ", "choices": ["a", "b", "c"], "answer": 0},
        {"question": "How?", "choices": ["a", "b"]},
        {"question": "", "choices": ["a", "b"], "answer": 1},
        {"question": "Broken?", "choices": ["a", "b"], "answer": 2},
        {"question": "Broken twice?", "choices": ["a", 3], "answer": "x"},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    result = counts(inspect_questions(path))
    assert (result.questions, result.unreadable, result.answered, result.with_context) == (4, 2, 3, 1)
    assert result.texts == 3, "case and blanks make no other text"
    assert result.options == {2: 3, 3: 1}


def test_a_broken_row_in_one_of_several_parts_is_counted(tmp_path):
    """A row of another part with its line number hid it."""
    row = json.dumps({"prompt": "Why?", "A": "a", "B": "b", "answer": "A"}) + "\n"
    (tmp_path / "part-1.jsonl").write_text(row + '{"prompt": broken}\n' + row)
    (tmp_path / "part-2.jsonl").write_text(row * 3)
    result = counts(inspect_questions(tmp_path))
    assert (result.questions, result.unreadable) == (5, 1)


texts = st.text(max_size=30)
questions = st.lists(
    st.builds(
        lambda prompt, options, answer: Question("1", prompt, tuple(options), answer % len(options)),
        texts,
        st.lists(texts, min_size=2, max_size=5),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=8,
)


@given(questions)
def test_lengths_are_those_of_the_texts_and_every_option_is_in_the_histogram(sample):
    result = lengths(sample)
    prompts = [len(question.question) for question in sample]
    assert (result.characters["question"].least, result.characters["question"].most) == (min(prompts), max(prompts))
    assert result.words["question"].most == max(len(question.question.split()) for question in sample)
    assert "context" not in result.words
    assert sum(result.histogram.right) == len(sample)
    assert sum(result.histogram.wrong) == sum(len(question.options) - 1 for question in sample)


def test_without_answers_there_is_no_right_option_to_measure():
    result = lengths([Question("1", "Why?", ("a", "bb"))])
    assert result.histogram is None
    assert set(result.words) == {"question", "option"}
    assert lengths([]).words == {}
