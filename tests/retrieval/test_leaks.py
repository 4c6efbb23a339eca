"""The leak guard: each clause of its rule, and that the right answer plays no part."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.question import Question
from llmtuner.data.words import words
from llmtuner.retrieval.leaks import AROUND, LeakGuard
from llmtuner.retrieval.passages import Chunk

PROMPT = "Which part of a plant cell turns the light of the sun into sugar that the plant can store later"  # 20 words
OPTIONS = ("the chloroplast", "the cell wall", "a mitochondrion", "the nucleus")


def passage(text, title=""):
    return Chunk("d#0", "d", title, text)


def refused(text, prompt=PROMPT, options=OPTIONS, before="", after="", title=""):
    return LeakGuard(prompt, options).refuses(passage(text, title), before, after)


def test_the_question_with_two_options_is_refused():
    assert refused(f"{PROMPT}? A) the chloroplast B) the cell wall")
    assert refused(f"Exam 7. {PROMPT.upper()}?\n\nThe  nucleus; A\u00a0mitochondrion.")


def test_the_question_with_one_option_is_not():
    """A sentence of a book may state a question's fact in its words, with the right option."""
    assert not refused(f"{PROMPT}: the chloroplast")
    assert not refused(PROMPT)


def test_options_alone_are_not():
    assert not refused(f"The parts of a cell are {', '.join(OPTIONS)}.")


def test_part_of_an_option_is_none():
    assert not refused(f"{PROMPT}: the chloroplast or the cell")
    assert not refused(f"{PROMPT}: the chloroplast or the cell-walls")


@pytest.mark.parametrize(("changed", "is_refused"), [(0, True), (1, True), (2, True), (3, False)])
def test_four_fifths_of_the_8_grams(changed, is_refused):
    """13 grams: 11 are at least 0.8 of them, 10 are not."""
    prompt_words = PROMPT.split()
    assert len(prompt_words) == 20
    text = " ".join(["other"] * changed + prompt_words[changed:])
    assert refused(f"{text} the nucleus the cell wall") is is_refused


def test_exactly_four_fifths_are_enough():
    prompt = " ".join(f"w{number}" for number in range(12))  # five grams
    assert refused("x " + prompt.partition(" ")[2] + " the nucleus the cell wall", prompt)
    assert not refused("x x " + " ".join(prompt.split()[2:]) + " the nucleus the cell wall", prompt)


def test_repeated_grams_count_once():
    prompt = "a b c d e f g h " * 3 + "z " * 3
    grams = {tuple(prompt.split()[place : place + 8]) for place in range(len(prompt.split()) - 7)}
    assert len(grams) == 11  # of 20: nine held ones are enough, eight are not
    assert refused("a b c d e f g h " * 3 + "z the nucleus the cell wall", prompt)
    assert not refused("a b c d e f g h " * 3 + "the nucleus the cell wall", prompt)


@pytest.mark.parametrize("prompt", ["What stores the sugar", "Where is the sugar of a plant"])
def test_a_prompt_below_8_words_must_be_held_whole(prompt):
    assert refused(f"Q: {prompt}? the nucleus / the cell wall", prompt)
    assert not refused(f"Q: {prompt[:-1]}? the nucleus / the cell wall", prompt)


def test_a_prompt_below_four_words_needs_all_options():
    """ "Plants need" and two options stand in any text about plants."""
    text = "Sugar is in " + ", ".join(OPTIONS)
    assert refused(text, "Sugar is in")
    assert not refused(text.replace("nucleus", "nuclei"), "Sugar is in")
    assert refused("What is in sugar? the nucleus, the cell wall", "What is in sugar")


def test_prompts_and_options_without_words_are_never_held():
    assert not refused("? ... the nucleus, the cell wall", prompt="?")
    assert not refused("the nucleus, the cell wall", prompt="")
    assert not refused(f"{PROMPT} + - + -", options=("+", "-", "="))
    assert not refused(f"{PROMPT} + - iron", options=("+", "-", "iron"))
    assert refused(f"{PROMPT} iron gold", options=("", "iron", "gold"))
    # all options of a short prompt can never be held if one has no words
    assert not refused("Metal: iron gold", "Metal", ("iron", "gold", ""))


def test_the_words_around_a_passage_count():
    """The prompt ends one chunk, and its options begin the next."""
    assert refused("A) the chloroplast", before=f"{PROMPT}?", after="B) the cell wall")
    assert not refused("A) the chloroplast", before=f"{PROMPT}?")
    assert refused("", before=f"{PROMPT} the nucleus", after="the cell wall")


def test_a_prompt_across_two_chunks_is_held():
    first, second = PROMPT[:50], PROMPT[50:]
    assert refused(second + " the nucleus the cell wall", before=first)
    assert refused(first, after=second + " the nucleus the cell wall")


@pytest.mark.parametrize(("gap", "is_refused"), [(AROUND - 4, True), (AROUND - 3, False)])
def test_500_words_on_each_side(gap, is_refused):
    between = " ".join(["word"] * gap)
    options = "the nucleus, a mitochondrion"  # four words
    assert refused(PROMPT, after=f"{between} {options}") is is_refused
    assert refused(PROMPT, before=f"{options} {between}") is is_refused


def test_the_title_counts():
    """A page of questions and answers has the question as its title."""
    assert refused("the nucleus, the cell wall", title=PROMPT)


def test_chinese():
    prompt, options = "植物细胞的哪一部分把阳光变成糖", ("叶绿体", "细胞壁", "细胞核", "线粒体")
    assert refused(f"一、{prompt}？A、叶绿体 B、细胞壁", prompt, options)
    assert not refused(f"一、{prompt}？叶绿体。", prompt, options)
    assert not refused("植物细胞有叶绿体和细胞壁，把阳光变成糖。", prompt, options)
    assert refused("水是？氢 氧 氮", "水是", ("氢", "氧", "氮"))
    assert not refused("水是？氢 氧", "水是", ("氢", "氧", "氮"))


def test_wide_letters_and_invisible_characters_do_not_hide_a_question():
    hidden = PROMPT.replace("plant", "pl\u00adant").replace("cell", "ｃｅｌｌ")
    assert hidden != PROMPT
    assert refused(f"{hidden} the nucleus the cell wall")


TEXTS = st.lists(st.sampled_from([PROMPT, *OPTIONS, "word", PROMPT[:60]]), max_size=8).map(" ".join)


@given(
    text=TEXTS, before=TEXTS, after=TEXTS, order=st.permutations(range(4)), answer=st.sampled_from([None, 0, 1, 2, 3])
)
def test_the_answer_and_the_order_of_the_options_play_no_part(text, before, after, order, answer):
    """A guard that protects only the right answer would give scored and unlabelled questions other passages."""
    question = Question("1", PROMPT, OPTIONS)
    other = replace(question, options=tuple(OPTIONS[place] for place in order), answer=answer)
    decisions = {LeakGuard.of(each).refuses(passage(text), before, after) for each in (question, other)}
    assert len(decisions) == 1


@given(
    prompt=st.lists(st.sampled_from("abc"), max_size=14).map(" ".join),
    options=st.lists(st.lists(st.sampled_from("abcd"), max_size=2).map(" ".join), min_size=2, max_size=4),
    text=st.lists(st.sampled_from("abcd"), max_size=40).map(" ".join),
)
def test_against_the_rule_written_out(prompt, options, text):
    def holds(part):
        return any(words(text)[start : start + len(part)] == part for start in range(len(words(text))))

    prompt_words = words(prompt)
    size = min(8, len(prompt_words))
    grams = {tuple(prompt_words[start : start + size]) for start in range(len(prompt_words) - size + 1)} - {()}
    held_options = sum(bool(words(option)) and holds(words(option)) for option in options)
    needed = len(options) if len(prompt_words) < 4 else 2
    expected = bool(grams) and sum(holds(list(gram)) for gram in grams) / len(grams) >= 0.8 and held_options >= needed
    assert refused(text, prompt, options) is expected
