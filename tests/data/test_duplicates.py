"""The same question, near duplicates, and contradictions."""

from __future__ import annotations

from dataclasses import replace

import datasketch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.duplicates import (
    conflicts,
    contradictions,
    exact_key,
    near_groups,
    question_digest,
    same_questions,
    shingles_of,
)
from llmtuner.data.question import Question
from llmtuner.data.words import words, words_and_signs

PROMPT = "Which of these gases do green plants take in from the air while the sun shines on their leaves"
FIRST = Question("1", PROMPT, ("carbon dioxide", "nitrogen", "helium"), 0)
DIFFERENT = [
    FIRST,
    Question("2", "What is the capital of Norway?", ("Oslo", "Bergen"), 0),
    replace(FIRST, question=f"{PROMPT} today"),
    Question("4", "?!", ("...", "!"), 0),
    Question("5", "!!", ("...", "?"), 0),
    replace(FIRST, options=("oxygen", "argon", "neon")),
]


def test_a_power_makes_another_question_and_another_option():
    """NFKC made 102 of 10² and of 10₂: different questions were duplicates, and their answers contradictions."""
    numbers = ("10²", "10₂", "102")
    assert len({exact_key(replace(FIRST, question=number)) for number in numbers}) == 3
    assert len({exact_key(replace(FIRST, options=(number, "7"))) for number in numbers}) == 3
    rows = [replace(FIRST, question=f"What is the root of {n}?", answer=place) for place, n in enumerate(numbers)]
    assert same_questions(rows) == []
    rows = [replace(FIRST, options=numbers, answer=place) for place in (0, 2)]
    assert contradictions(rows) == {0: 1, 1: 0}
    assert near_groups([replace(FIRST, question=number, options=(number, "7")) for number in numbers]) == [0, 1, 2]


LETTERED = replace(FIRST, options=("A) helium", "B) Carbon dioxide", "C) nitrogen"), answer=1)


def test_letters_of_the_options_own_make_no_other_question():
    """A copy whose options begin with "A)" stayed in the file, and its wrong answer contradicted nothing."""
    assert same_questions([FIRST, LETTERED]) == [[0, 1]]
    assert contradictions([FIRST, LETTERED]) == {}
    assert contradictions([FIRST, replace(LETTERED, answer=0)]) == {0: 1, 1: 0}
    assert shingles_of(FIRST) == shingles_of(LETTERED)


def test_invisible_characters_and_width_make_no_other_question():
    disguised = replace(
        FIRST,
        question=PROMPT.replace("gases", "ga\u00adses"),
        options=("carbon\u00a0dioxide", "\u200bnitrogen", "ｈｅｌｉｕｍ"),
        context="By\u200b day.",
    )
    assert same_questions([replace(FIRST, context="By day."), disguised]) == [[0, 1]]
    assert contradictions([FIRST, disguised]) == {}
    assert contradictions([replace(FIRST, context="By day."), replace(disguised, answer=2)]) == {0: 1, 1: 0}


# ---- near duplicates


def test_equal_rows_go_together_without_being_compared(monkeypatch):
    """2,000 equal rows took 20 s: each was compared with all earlier ones."""
    inserted = []
    original = datasketch.MinHashLSH.insert
    monkeypatch.setattr(
        datasketch.MinHashLSH,
        "insert",
        lambda self, key, *args, **options: (inserted.append(key), original(self, key, *args, **options)),
    )
    copies = [replace(FIRST, id=str(n), options=FIRST.options[n % 3 :] + FIRST.options[: n % 3]) for n in range(50)]
    assert near_groups(copies) == [0] * 50
    assert inserted == [0]


@given(st.lists(st.integers(0, len(DIFFERENT) - 1), max_size=12))
def test_repeated_rows_change_no_group(places):
    """Copies follow their originals: two copies are joined if and only if their originals are."""
    groups = near_groups([DIFFERENT[place] for place in places])
    group_of = near_groups(DIFFERENT)
    expected = [min(i for i, first in enumerate(places) if group_of[first] == group_of[place]) for place in places]
    assert groups == expected


def test_rows_without_a_word_are_like_nothing():
    assert near_groups(DIFFERENT)[3:5] == [3, 4]


@pytest.mark.parametrize(
    ("prompt", "changed"),
    [
        ("光合作用需要阳光和水,植物吸收二氧化碳并释放氧气,这个过程发生在哪里", ("释", "排")),
        ("植物は日光と水を使って光合成を行い酸素を出しますがどの気体を吸いますか", ("日光", "太陽光")),
    ],
)
def test_sentences_without_blanks_have_words(prompt, changed):
    """A whole Chinese sentence was one word, so one changed character made it another question."""
    question = Question("1", prompt, ("叶绿体", "线粒体", "细胞核"), 0)
    assert near_groups([question, replace(question, question=prompt.replace(*changed))]) == [0, 0]


def test_a_sign_makes_another_formula():
    """7 + 3 and 7 - 3 with the same options had the same shingles, but their answers differ."""
    sums = [Question("", f"What is {formula}?", ("10", "4", "21", "2"), 0) for formula in ("7 + 3", "7 - 3", "7 × 3")]
    assert near_groups(sums) == [0, 1, 2]
    assert shingles_of(replace(sums[0], options=("-5", "5"))) != shingles_of(replace(sums[0], options=("5", "5")))
    assert words_and_signs("7−3") == words_and_signs("7 - 3") == ["7", "-", "3"], "another code point, the same sign"


def test_a_hyphen_is_no_minus():
    """Prose with different spelling must still match."""
    assert words_and_signs("Gamma-ray bursts, well-known") == ["gamma", "ray", "bursts", "well", "known"]
    assert words("7 + 3 光合") == ["7", "3", "光", "合"], "an audit counts words only"


# ---- contradictions

CLAIMS = st.builds(
    lambda options, context, answer: replace(FIRST, options=options, context=context, answer=answer),
    st.sampled_from([FIRST.options, ("helium", "Nitrogen", "carbon  dioxide"), ("oxygen", "argon", "neon")]),
    st.sampled_from(["", "", "By day.", " By  day.", "By night."]),
    st.sampled_from([0, 1, None]),
)


@given(st.lists(CLAIMS, max_size=8))
def test_without_the_contradictions_nothing_contradicts(rows):
    """The build keeps the remaining rows, and an audit of them must find no conflict."""
    contradicting = contradictions(rows)
    remaining = [question for row, question in enumerate(rows) if row not in contradicting]
    assert conflicts(remaining) == []
    in_conflict = {row for group in conflicts(rows) for row in group}
    assert set(contradicting) <= in_conflict
    for row, cause in contradicting.items():
        assert cause in contradicting, f"row {row} contradicts it"
        assert any({row, cause} <= set(group) for group in same_questions(rows))


def test_a_row_that_only_stands_beside_a_contradiction_stays():
    """Two contexts and a row without one: that row contradicts the second context, not the first."""
    rows = [
        replace(FIRST, context="By day."),
        replace(FIRST, context="By night.", answer=1),
        replace(FIRST),
        replace(FIRST, answer=None),
    ]
    assert contradictions(rows) == {1: 2, 2: 1}


def test_the_digest_of_a_question_is_that_of_its_text_and_ordered_options():
    """Scores belong to places: the digest of trained questions, which sorts options, would let them change places."""
    digest = question_digest(FIRST)
    assert len(digest) == 16
    for same in (
        replace(FIRST, id="9", answer=None, context="Leaves are green.", dataset="d", file="f.xlsx", line=7, weight=0),
        replace(FIRST, question=f" {PROMPT} ", options=("carbon\u00a0dioxide", "nitrogen ", "helium")),
    ):
        assert question_digest(same) == digest
    for other in (
        replace(FIRST, options=FIRST.options[::-1]),
        replace(FIRST, question=f"{PROMPT}?"),
        replace(FIRST, options=(*FIRST.options, "argon")),
    ):
        assert question_digest(other) != digest
    cases = replace(FIRST, options=("AA", "Aa", "aa"))
    assert question_digest(cases) != question_digest(replace(FIRST, options=("Aa", "AA", "aa")))
