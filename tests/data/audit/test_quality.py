"""The score of a question's form: what lowers it, what must not, and that nothing else matters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.audit.quality import DEDUCTIONS, quality
from llmtuner.data.load import read_questions
from llmtuner.data.question import Question

CLEAN = Question("1", "Which gas do plants take in?", ("carbon dioxide", "nitrogen", "helium", "argon"), 0)
texts = st.text(max_size=40)
questions = st.builds(
    lambda prompt, options, answer: Question("1", prompt, tuple(options), answer % len(options)),
    texts,
    st.lists(texts, min_size=2, max_size=10),
    st.integers(0, 9),
)


def with_option(text: str) -> Question:
    return replace(CLEAN, options=(*CLEAN.options[:-1], text))


PLANTED = {
    "no question": [replace(CLEAN, question=text) for text in ("", "Question:", " question 12: ", "???")],
    "blank option": [with_option(""), with_option(" \u00a0"), with_option("\u200b")],
    "equal options": [
        with_option(text) for text in ("helium", " helium ", "he\u200blium", "ｈｅｌｉｕｍ", "carbon\u00a0dioxide")
    ],
    "short prompt": [replace(CLEAN, question=text) for text in ("Fallow?", "Question: a gas", "光")],
    "option repeats the prompt": [with_option("Which gas do  plants take in? Argon")],
    "of the above": [
        with_option(text)
        for text in (
            *("None of the above", "all of the above.", "Both A and B", "both (a) and (c) are correct."),
            *(
                "None of these",
                "All of the options are correct",
                "Neither A nor B",
                "All the above",
                "none are correct",
            ),
        )
    ],
    "letters in options": [
        replace(CLEAN, options=("A) one", "B) two", "C) three", "D) four")),
        replace(CLEAN, options=("(c) one", "(a) two", "(b) three", "(d) four")),
        replace(CLEAN, options=("A. one", "B. two", "C. three", "D. four")),
        replace(CLEAN, options=("A)4.50", "B)4.55", "C)4.45", "D)4.40")),
        replace(CLEAN, options=("Ａ）一", "Ｂ）二", "Ｃ）三", "Ｄ）四")),
    ],
    "answer by far the longest": [replace(CLEAN, options=("carbon dioxide and some water vapour", *CLEAN.options[1:]))],
    "extreme length": [replace(CLEAN, question="why? " * 700), with_option("x " * 600)],
    "passage is missing": [replace(CLEAN, question="Which gas is named in the provided Wikipedia excerpt?")],
}
LEFT_ALONE = [
    CLEAN,
    replace(CLEAN, answer=None),
    replace(CLEAN, question="Question: which gas do plants take in?"),
    replace(CLEAN, question="植物吸收哪种气体?"),
    replace(CLEAN, options=("AA", "Aa", "aa", "A")),
    replace(CLEAN, options=("x²", "x2", "x₂", "2x")),
    replace(CLEAN, options=("E. coli", "C. elegans", "A. thaliana", "D. melanogaster")),
    replace(CLEAN, options=("A.A. Milne", "E.A. Bowles", "c. 1472", "J.R.R. Tolkien")),
    replace(CLEAN, options=("25 meters above sea level", "all of the oxygen in the air", "none", "all of it")),
    replace(CLEAN, options=("Ti", "I", "O", "H")),
    replace(CLEAN, question="What allows the passage of oxygen into cells?"),
    replace(CLEAN, question="Which gas is named in the excerpt?", context="Plants take in carbon dioxide."),
    replace(CLEAN, question="Which gas does this passage name?\nPlants take in carbon dioxide."),
]


@pytest.mark.parametrize(("reason", "question"), [(reason, q) for reason, result in PLANTED.items() for q in result])
def test_each_defect_is_named_and_deducted(reason, question):
    result = quality(question)
    assert reason in result.reasons
    assert result.score == pytest.approx(max(0, 1 - sum(DEDUCTIONS[name][0] for name in result.reasons)))
    assert set(result.reasons) <= {reason, "answer by far the longest", "short prompt"}


def test_every_deduction_is_tried_here():
    assert set(PLANTED) == set(DEDUCTIONS)


@pytest.mark.parametrize("question", LEFT_ALONE, ids=lambda q: f"{q.question[:20]}-{q.options[0]}")
def test_what_only_looks_like_a_defect_costs_nothing(question):
    assert quality(question) == quality(CLEAN)
    assert quality(question).score == 1.0


def test_equal_options_behind_letters_are_both():
    lettered = replace(CLEAN, options=("(a) one", "(b) two", "(c) one", "(d) four"))
    assert quality(lettered).reasons == ("equal options", "letters in options")


@given(questions)
def test_any_text_has_a_score_between_0_and_1_that_says_why(question):
    result = quality(question)
    assert 0 <= result.score <= 1
    assert (result.score == 1) == (not result.reasons)


@given(questions, st.randoms())
def test_the_order_of_the_options_does_not_matter(question, random):
    """Except for marks like "A)", which alone are tied to a place."""
    order = list(range(len(question.options)))
    random.shuffle(order)
    shuffled = replace(question, options=tuple(question.options[i] for i in order), answer=order.index(question.answer))
    before, after = (set(quality(q).reasons) - {"letters in options"} for q in (question, shuffled))
    assert before == after


@pytest.mark.real_data
def test_known_defects_of_kaggles_6000(real_data):
    questions = read_questions(real_data / "kaggle" / "6000_train_examples.csv", purpose="train").questions
    result = {question.id: quality(question).reasons for question in questions}
    named = {reason: [name for name, reasons in result.items() if reason in reasons] for reason in DEDUCTIONS}
    assert named["blank option"] == ["2427", "3532", "4482"]
    assert named["equal options"] == ["633", "3011", "4563", "4602"]
    assert len(named["no question"]) == 2
    assert len(named["of the above"]) == 136
