"""Planted duplicates, leaks and conflicts are found; what only looks like one is not reported."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.audit.repeats import Repeats, repeats
from llmtuner.data.load import read_questions
from llmtuner.data.question import Question

LONG = "Which of these gases do green plants take in from the air while the sun shines on their leaves"
FIRST = Question("1", f"{LONG}?", ("carbon dioxide", "nitrogen", "helium"), 0, file="a.csv", line=1)
SHUFFLED = replace(FIRST, id="2", options=("helium", "Carbon  dioxide", "nitrogen"), answer=1, line=2)
OTHER_KEY = replace(FIRST, id="3", answer=1, line=3)
OTHER_OPTIONS = replace(FIRST, id="4", options=("oxygen", "argon", "neon"), line=4)
NEARLY = replace(FIRST, id="5", question=f"{LONG} today?", line=5)
UNRELATED = Question("6", "What is the capital of Norway?", ("Oslo", "Bergen"), 0, file="a.csv", line=6)


def one_file(*questions: Question) -> Repeats:
    return repeats([questions], ["a.csv"])


def ids(groups) -> list[list[str]]:
    return [[row.id for row in group] for group in groups]


def test_what_repeats_within_a_file_is_told_apart():
    result = one_file(FIRST, SHUFFLED, OTHER_KEY, OTHER_OPTIONS, NEARLY, UNRELATED)
    assert ids(result.same_text) == [["1", "2", "3", "4"]]
    assert ids(result.same_question) == [["1", "2", "3"]]
    assert ids(result.near) == [["1", "2", "3", "4", "5"]]
    assert ids(result.conflicts) == [["1", "2", "3"]]


def test_shuffled_options_with_the_same_right_text_are_no_conflict():
    result = one_file(FIRST, SHUFFLED, UNRELATED)
    assert ids(result.same_question) == [["1", "2"]]
    assert result.conflicts == ()
    assert result.near == (), "equal texts are no near duplicates"


@pytest.mark.parametrize(
    ("contexts", "conflict"),
    [
        (("Plant one is EE.", "Plant two is ee."), False),
        (("It is EE.", "It is ee."), False),
        (("It is EE.", " It  is EE."), True),
        (("It is EE.", ""), True),
        (("", ""), True),
    ],
)
def test_two_passages_may_have_two_answers(contexts, conflict):
    """ScienceQA asks one question about many passages; two of them differ in the case of two letters."""
    rows = [replace(q, context=context) for q, context in zip((FIRST, OTHER_KEY), contexts, strict=True)]
    assert bool(one_file(*rows).conflicts) == conflict
    assert bool(one_file(*rows).same_question) == conflict


@pytest.mark.parametrize(
    ("options", "shuffled", "conflict"),
    [(("AA", "Aa", "aa"), ("AA", "Aa", "aa"), True), (("Iron", "Tin", "Zinc"), ("tin", "zinc", "iron"), False)],
)
def test_case_makes_another_answer_only_where_it_makes_another_option(options, shuffled, conflict):
    first, second = replace(FIRST, options=options, answer=0), replace(FIRST, options=shuffled, answer=2)
    assert bool(one_file(first, second).conflicts) == conflict


def test_unanswered_rows_contradict_nothing():
    assert one_file(FIRST, replace(OTHER_KEY, answer=None)).conflicts == ()


def test_what_two_files_share_is_counted_from_both_sides():
    theirs = [replace(question, file="b.csv") for question in (SHUFFLED, OTHER_OPTIONS, NEARLY)]
    result = repeats([[FIRST, UNRELATED], theirs], ["a.csv", "b.csv"])
    [leak] = result.leaks
    assert (leak.first, leak.second) == ("a.csv", "b.csv")
    assert (leak.texts, leak.first_texts, leak.second_texts) == (1, 2, 2)
    assert (leak.first_rows, leak.second_rows, leak.questions, leak.near) == (1, 2, 1, 1)
    without = repeats([[FIRST, UNRELATED], theirs], ["a.csv", "b.csv"], near=False)
    assert (without.near, without.leaks[0].near) == (None, None)
    assert without.same_text == result.same_text


def test_groups_across_files_come_first():
    inside = [replace(UNRELATED, id=name) for name in "xy"]
    result = repeats([[*inside, FIRST], [replace(SHUFFLED, file="b.csv")]], ["a.csv", "b.csv"])
    assert ids(result.same_text) == [["1", "2"], ["x", "y"]]


def test_files_that_share_nothing_have_no_leak():
    [leak] = repeats([[FIRST], [UNRELATED]], ["a.csv", "b.csv"]).leaks
    assert (leak.texts, leak.first_rows, leak.second_rows, leak.questions, leak.near) == (0, 0, 0, 0, 0)


rows = st.lists(
    st.builds(
        lambda prompt, answer: Question("1", prompt, ("x", "y"), answer),
        st.sampled_from("abcde"),
        st.integers(0, 1),
    ),
    max_size=12,
)


@given(st.lists(rows, min_size=2, max_size=3))
def test_a_leak_is_the_intersection_of_two_files(files):
    names = [f"{place}.csv" for place in range(len(files))]
    result = repeats(files, names, near=False)
    assert len(result.leaks) == len(files) * (len(files) - 1) // 2
    for leak in result.leaks:
        first, second = ({q.question for q in files[names.index(name)]} for name in (leak.first, leak.second))
        assert leak.texts == leak.questions == len(first & second)
        assert leak.first_rows == sum(q.question in second for q in files[names.index(leak.first)])


@pytest.mark.real_data
def test_known_repeats_of_the_real_files(real_data):
    files = {
        name: read_questions(real_data / name, purpose="train").questions
        for name in ("kaggle/6000_train_examples.csv", "scienceqa/train.parquet", "scienceqa/validation.parquet")
    }
    kaggle = repeats([files["kaggle/6000_train_examples.csv"]], ["6000"], near=False)
    assert sum(len(group) - 1 for group in kaggle.same_text) == 8, "eight rows repeat a prompt: five are there again"
    assert len(kaggle.same_text) == 5
    train, validation = files["scienceqa/train.parquet"], files["scienceqa/validation.parquet"]
    science = repeats([train, validation], ["train", "validation"], near=False)
    assert (science.leaks[0].texts, science.leaks[0].second_texts) == (286, 1516)
    assert science.conflicts == ()
