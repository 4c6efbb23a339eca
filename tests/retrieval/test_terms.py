"""Search terms: what is a term, what is a stop word, and that both sides of a search agree."""

from __future__ import annotations

import bm25s
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.retrieval.terms import TermIds, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Plants STORED the sugars", "plant store sugar"),
        ("Newton's laws", "newton law"),
        ("Schrödinger, Schrodinger", "schroding schroding"),
        ("gamma-ray β-decay", "gamma ray beta decay"),
        ("ﬁve ｆｉｖｅ", "five five"),  # a ligature, full width
        ("wa\u00adter", "water"),  # a soft hyphen
        ("_emphasis_ v_0", "emphasi v0"),
    ],
)
def test_words_are_stems_in_lower_case_and_normal_form(text, expected):
    assert terms(text) == expected.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Vitamin A is in the liver, vitamin K is not", "vitamin a liver vitamin k"),
        ("A cell is a unit. A tissue has cells", "cell unit tissu cell"),
        ("Which vitamin? vitamin a", "vitamin vitamin a"),
        ("Which one?\nvitamin a\nvitamin k", "one vitamin a vitamin k"),
        ("A", "a"),
        ("a", "a"),
        ("A and B only", "a b onli"),
        ("As a metal, it melts", "metal melt"),
        ("the element As, and the ion of In", "element as ion in"),
        ("NO and CO", "no co"),
        ("no light is needed", "light need"),
        ("an AND gate", "and gate"),
        ('He says: "A cat is an animal"', "he say cat anim"),
        ("WHAT IS THE NAME OF AN ELEMENT", "name element"),
    ],
)
def test_stop_words_count_where_they_are_names(text, expected):
    """Without the last letter, vitamin A and vitamin K are the same query."""
    assert terms(text) == expected.split()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("CO2", "CO₂"),
        ("H2O", "H₂O"),
        ("Fe3+", "Fe³⁺"),
        ("SO4^{2-}", "SO₄²⁻"),
        ("H_{2}O", "H₂O"),
        ("OH-", "OH⁻"),
        ("x^2", "x²"),
        ("10^23", "10²³"),
        ("10^{-3}", "10⁻³"),
        ("-5 °C", "−5 °C"),
        ("1,000", "1000"),
        ("3.5kg", "3.5 kg"),
        ("don't", "don’t"),
        ("one\ntwo", "one\u2028two"),
    ],
)
def test_two_spellings_are_the_same_term(first, second):
    assert terms(first) == terms(second) != []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Fe2+", "Fe3+"),
        ("Na", "Na+"),
        ("Cl", "Cl-"),
        ("10^23", "1023"),
        ("10²", "102"),
        ("-5", "5"),
        ("3.5", "35"),
        ("+2", "-2"),
        ("x", "y"),
        ("A+", "A-"),
        (r"\alpha", r"\beta"),
    ],
)
def test_what_differs_stays_apart(first, second):
    assert terms(first) != terms(second)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\frac{1}{2}mv^2 = 3.5 \mathrm{J}", r"\frac 1 2 mv2 3.5 \mathrm j"),
        ("Fig.3 and .05 of 7-3 or 7 - 3", "fig 3 0.05 7 3 7 3"),
        ("versions 1.2.3, 12,345,67", "version 1.2.3 12 345 67"),
        ("DNA- and pre-war, C++", "dna pre war c"),
        ("25% of 6.02×10²³", "25 6.02 10^23"),
    ],
)
def test_numbers_signs_and_latex_survive(text, expected):
    assert terms(text) == expected.split()


def test_scripts_without_blanks_are_searched_by_characters_and_pairs():
    assert terms("光合作用") == ["光", "光合", "合", "合作", "作", "作用", "用"]
    assert terms("水是H2O。") == ["水", "水是", "是", "h2o"]
    assert set(terms("水")) <= set(terms("水分子"))  # an option of one character
    assert terms("ใบไม้")[:2] == ["ใ", "ใบ"]
    assert set(terms("물")) <= set(terms("물은 H2O"))


def test_signs_of_vowels_belong_to_the_word():
    """`re` splits Hindi at every vowel."""
    assert terms("हिन्दी भाषा") == ["हिन्दी", "भाषा"]


@pytest.mark.parametrize("text", ["", " ", "... ?!", "the of and", "\u200b", "—", "__", "\n\n"])
def test_a_text_without_terms_has_none(text):
    assert terms(text) == []


@given(st.text(max_size=80))
def test_every_text_has_terms_without_blanks_and_a_line_end_more_changes_none(text):
    found = terms(text)
    assert all(term and term == term.strip() and len(term) <= 64 for term in found)
    assert terms(text + "\n") == found


@given(st.lists(st.sampled_from(["Vitamin A is", "CO₂", "光合", "the", "-5", "Fe2+ a", "A"]), max_size=6))
def test_lines_do_not_influence_each_other(lines):
    """A query has an option on each line, and each must have the terms that it has alone."""
    assert terms("\n".join(lines)) == [term for line in lines for term in terms(line)]


def test_a_query_gets_the_numbers_of_the_corpus_and_nothing_new():
    corpus = TermIds()
    (numbers,) = corpus.of(["Vitamin A, vitamin K"])
    assert numbers == [0, 1, 0, 2]
    query = TermIds(corpus.vocabulary, grows=False)
    assert query.of(["vitamin k against scurvy", "rickets"]) == [[0, 2], []]
    assert list(corpus.vocabulary) == ["vitamin", "a", "k"]


def test_a_flood_of_different_words_does_not_fill_the_memory(monkeypatch):
    """Every written word of a corpus was remembered."""
    monkeypatch.setattr("llmtuner.retrieval.terms._MOST_REMEMBERED", 10)
    ids = TermIds()
    ids.of(f"w{number}" for number in range(100))
    assert len(ids._memo) <= 12
    assert len(ids.vocabulary) == 100
    ids.of(["x" * 1000])
    assert not any(len(written) > 40 for written in ids._memo)


def test_plain_words_are_those_of_bm25s():
    """On lower-case words of two letters and more, nothing differs from bm25s with the same stemmer."""
    import Stemmer

    text = "green plants make sugar with the help of light and water in their leaves"
    (plain,) = bm25s.tokenize([text], stemmer=Stemmer.Stemmer("english"), return_ids=False, show_progress=False)
    assert terms(text) == plain
