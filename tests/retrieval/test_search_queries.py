"""Queries: their three forms, the merging of their hits, and what is cut of a long one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.question import Question
from llmtuner.retrieval.queries import Query, fitted, merged, queries
from llmtuner.spec.retrievers import QUERY_KINDS

QUESTION = Question("1", "Which gas do plants take in?", ("oxygen", "", "carbon dioxide"), answer=2, context="A text.")


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("all", ["Which gas do plants take in?\noxygen\ncarbon dioxide"]),
        (
            "per_option",
            [
                "Which gas do plants take in?\noxygen",
                "Which gas do plants take in?",
                "Which gas do plants take in?\ncarbon dioxide",
            ],
        ),
        ("prompt", ["Which gas do plants take in?"]),
    ],
)
def test_the_forms(kind, texts):
    assert [query.text for query in queries(QUESTION, kind)] == texts


@pytest.mark.parametrize("kind", QUERY_KINDS)
def test_neither_answer_nor_context_are_read(kind):
    other = replace(QUESTION, answer=None, context="")
    assert queries(QUESTION, kind) == queries(other, kind)


def test_merged_by_rank():
    assert merged([["a", "b"], ["b", "c"]]) == [("b", 1 / 61 + 1 / 62), ("a", 1 / 61), ("c", 1 / 62)]
    assert merged([["a", "b"], ["b", "c"]], k=1) == [("b", 1 / 61 + 1 / 62)]
    assert merged([]) == []


def test_ties_go_by_id():
    assert [name for name, _ in merged([["b", "a"], ["a", "b"], ["c"]])][:2] == ["a", "b"]


RANKINGS = [[*"a"], [*"xa"], [*"xya"], [*"xyzuvwa"], []]


@given(st.permutations(RANKINGS))
def test_the_order_of_the_rankings_does_not_matter(rankings):
    """Sums of floats depend on their order in the last bit, and ties would go by it."""
    assert merged(rankings) == merged(RANKINGS)


def count(text):
    return len(text.split()) + 2


LONG = Query(" ".join(f"w{number}" for number in range(100)), ("red blood cell", "blue"))


def test_a_query_that_fits_stays():
    assert fitted(LONG, 106, count) == (LONG, False)


def test_the_middle_of_the_prompt_is_cut():
    query, is_cut = fitted(LONG, 16, count)
    assert is_cut
    assert query.prompt == "w0 w1 w2 w3 w4 w95 w96 w97 w98 w99"
    assert query.options == LONG.options


def test_options_are_cut_only_if_they_do_not_fit_without_a_prompt():
    options = tuple(" ".join(f"{letter}{number}" for number in range(20)) for letter in "ab")
    query, is_cut = fitted(Query("a prompt", options), 10, count)
    assert is_cut
    assert query.options == ("a0 a1 a18 a19", "b0 b1 b18 b19")


def test_chinese_is_cut_between_characters():
    query, _ = fitted(Query("甲乙丙丁戊己庚辛壬癸", ("水",)), 8, lambda text: len(text.replace("\n", "")) + 2)
    assert query.text == "甲乙 壬癸\n水"


@given(
    words=st.integers(min_value=0, max_value=40),
    options=st.integers(min_value=0, max_value=5),
    most=st.integers(min_value=8, max_value=60),
)
def test_what_is_returned_fits_and_holds_as_much_as_fits(words, options, most):
    query = Query(" ".join(f"w{number}" for number in range(words)), tuple("abcde"[:options]))
    short, is_cut = fitted(query, most, count)
    assert count(short.text) <= most
    assert is_cut is (words + options + 2 > most)
    assert not is_cut or count(short.text) == most
    assert short.options == query.options
