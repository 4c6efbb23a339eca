"""Options with letters of their own: "A) mitosis"."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data import option_letters
from llmtuner.data.normal_form import normal_form
from llmtuner.data.option_letters import compared_forms, has_letters, surely_different

LETTERED = [
    (("A)4.50", "B)4.55", "C)4.50"), ("4.50", "4.55", "4.50")),
    (("A) 4", "B) 5", "C) 6"), ("4", "5", "6")),
    (("(a) 12 N", "(b) 15 N", "(c) 12 N"), ("12 N", "15 N", "12 N")),
    (("[A] tin", "[B] lead"), ("tin", "lead")),
    (("( A ) tin", "( B ) lead"), ("tin", "lead")),
    (("A. tin", "B. lead", "C. zinc"), ("tin", "lead", "zinc")),
    (("A.4.5", "B.5.5", "C.6"), ("4.5", "5.5", "6")),
    (("a: tin", "b: lead"), ("tin", "lead")),
    (("  A)  tin", "\tB)  lead"), ("tin", "lead")),
    (("(c) tin", "(a) lead", "(b) zinc"), ("tin", "lead", "zinc")),  # shuffled
    (("A) tin", "B) lead", "zinc"), ("tin", "lead", "zinc")),
    (("A) -5", "B) +5"), ("-5", "+5")),
    (("(A)-5", "(B)-6"), ("-5", "-6")),
    (("Ａ）锡", "Ｂ）铅"), ("锡", "铅")),  # full width
    (("（Ａ）锡", "（Ｂ）铅"), ("锡", "铅")),
    (("A、锡", "B、铅", "C、锌"), ("锡", "铅", "锌")),
    (("A．锡", "B．铅"), ("锡", "铅")),
    (("Ⓐ tin", "Ⓑ lead"), ("tin", "lead")),
    (("ⓐtin", "ⓑlead"), ("tin", "lead")),
    (("⒜ tin", "⒝ lead"), ("tin", "lead")),
    (("\u200bA) tin", "B\u200b) lead"), ("tin", "lead")),
    (("A) E. coli", "B) S. aureus"), ("E. coli", "S. aureus")),
    (("A. E. coli", "B. S. aureus", "C. L. casei"), ("E. coli", "S. aureus", "L. casei")),
    (("A. yeast", "B. E. coli", "C. moss", "D. algae"), ("yeast", "E. coli", "moss", "algae")),
]
UNLETTERED = [
    ("E. coli", "B. subtilis", "S. aureus", "B. cereus", "L. casei"),
    ("A.A. Milne", "E.A. Bowles", "c. 1472", "J.R.R. Tolkien"),
    ("C. S. Lewis", "B. B. King", "A. A. Milne", "D. H. Lawrence"),
    ("[A]²", "[B]²", "[A][B]"),  # concentrations
    ("(D)-glucose", "(E)-2-butene", "(A)-x"),
    ("A", "B", "C"),
    ("A)", "B)"),
    ("(A)(B)", "(B)(C)"),
    ("A positive", "B positive"),
    ("🅰 positive", "🅱 positive"),  # blood groups
    ("A:T", "C:G", "G:C", "T:A"),
]
# Behind the letters, different options would be equal.
MEANT = [
    ("(A) only", "(B) only", "(A) and (B)", "neither"),
    ("(A) and (B)", "(A) and (C)", "(B) and (C)"),
    ("(A) is correct", "(B) is correct", "both"),
    ("A) rises", "B) rises", "A) falls", "B) falls"),
    ("(A), (B)", "(B), (C)"),
]


@pytest.mark.parametrize(("options", "texts"), LETTERED, ids=str)
def test_options_are_compared_without_their_letters(options, texts):
    assert has_letters(options)
    assert compared_forms(options) == texts


@pytest.mark.parametrize("options", UNLETTERED, ids=str)
def test_a_letter_that_belongs_to_the_text_stays(options):
    assert not has_letters(options)
    assert compared_forms(options) == tuple(map(normal_form, options))


@pytest.mark.parametrize("options", MEANT, ids=str)
def test_letters_that_refer_to_something_stay(options):
    """ "(A) only" and "(B) only" became equal options."""
    assert compared_forms(options) == options
    assert len(set(options)) == len(options)


PIECES = st.sampled_from(["A", "B", ")", "(", ".", ":", " ", "  ", "\t", "\x1f", "x", "4", "\u200b", "é", "Ａ"])
OPTIONS = st.lists(st.lists(PIECES, max_size=5).map("".join), min_size=2, max_size=4)


@given(OPTIONS)
def test_the_short_way_is_taken_only_for_different_options(options):
    """It spares most rows of a large file the closer look; equal options must never take it."""
    forms = compared_forms(options)
    if surely_different(options):
        assert all(forms)
        assert len(set(forms)) == len(forms)
        assert forms == tuple(options)


def test_most_questions_take_the_short_way():
    assert surely_different(("carbon dioxide", "nitrogen", "Both take in oxygen.", "5"))
    assert not surely_different(("A) 4", "B) 4"))


@given(st.lists(st.text("ABj(). :[]x1-", max_size=8), min_size=2, max_size=5))
def test_the_quick_look_overlooks_no_letter(options):
    """It decides which options are compared as they are; a letter that it overlooks hides equal options."""
    if option_letters._is_plain(options):
        forms = [normal_form(option) for option in options]
        assert forms == list(options)
        assert not any(option_letters._mark(option, form) for option, form in zip(options, forms, strict=True))
