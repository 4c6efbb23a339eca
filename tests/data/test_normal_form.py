"""Which texts are the same: white space, invisible characters, width and Unicode form do not count."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.normal_form import folded_form, normal_form, visible_text

BLACK_FLAG = "\U0001f3f4"
EQUAL = [
    ("two  words\n", " two words"),
    ("caf\u00e9", "cafe\u0301"),  # composed, decomposed
    ("oxy\u200bgen", "oxygen"),  # zero-width space
    ("photo\u00adsynthesis", "photosynthesis"),  # soft hyphen
    ("\u200eCO\u2060\ufeff", "CO"),  # direction mark, word joiner, byte order mark
    ("\u2068iron\u2069", "iron"),  # isolated direction
    ("\u2764\ufe0f", "\u2764"),  # the variation selector of a heart
    ("e\u200b\u0301", "\u00e9"),  # composed once the invisible character is gone
    ("ＣＯ２\u3000gas", "CO2 gas"),  # full width
    ("ｶﾞｽ", "ガス"),  # half width
    ("5\u00a0\u339d", "5 cm"),  # no-break space, a square of two letters
    ("ﬁsh", "fish"),
    ("\u212b", "\u00e5".upper()),  # Angstrom sign
    ("10\u00b5m", "10\u03bcm"),  # micro sign, Greek mu
    ("½", "1⁄2"),
    ("5½", "5 ½"),
    ("㎡", "m²"),
    ("\U0001d465 = 2", "x = 2"),  # mathematical italic
]
DIFFERENT = [
    ("10²", "102"),
    ("10₂", "102"),
    ("10²", "10₂"),
    ("x²", "x2"),
    ("H₂O", "H2O"),
    ("10⁻³", "10-3"),
    ("10⁻³", "10³"),
    ("xⁿ", "xn"),
    ("㎡", "m2"),
    ("５²", "52"),  # full width, and raised
    ("5½", "51⁄2"),  # 5.5 and 25.5
    ("½5", "1⁄25"),
    ("a b", "ab"),
    ("é", "e"),
    ("7 − 3", "7 + 3"),
    ("\x08eta", "eta"),  # a backspace stands for the \b of \beta
    (f"{BLACK_FLAG}\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", BLACK_FLAG),  # England's
]
INVISIBLE = "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2066\u2069\ufe00\ufe0f\ufeff"
# Characters that Unicode's forms change, beside any others.
CHARACTERS = st.characters() | st.sampled_from("éｶﾞＡ２²₂½⅟㎡ⓐΣςßŉİﬁΐᾳ\u0301\u0345\u3099\u1100\u1161 5")
TEXTS = st.text(CHARACTERS, max_size=12)


@pytest.mark.parametrize(("first", "second"), EQUAL, ids=ascii)
def test_one_text_written_in_two_ways_is_one(first, second):
    assert normal_form(first) == normal_form(second)
    assert folded_form(first.upper()) == folded_form(second.upper())


@pytest.mark.parametrize(("first", "second"), DIFFERENT, ids=ascii)
def test_what_reads_differently_is_not_made_equal(first, second):
    """NFKC makes 10² and 10₂ the number 102, and 51⁄2 of 5½."""
    assert normal_form(first) != normal_form(second)
    assert folded_form(first) != folded_form(second)


def test_case_counts_unless_it_is_folded():
    assert len({normal_form(text) for text in ("AA", "Aa", "aa")}) == 3
    assert len({folded_form(text) for text in ("AA", "Aa", "aa")}) == 1
    assert folded_form("STRASSE") == folded_form("straße")


@given(TEXTS)
def test_a_normal_form_is_its_own(text):
    form, folded = normal_form(text), folded_form(text)
    assert normal_form(form) == form
    assert folded_form(folded) == folded_form(form) == folded


@given(TEXTS, st.sampled_from(["NFC", "NFD"]))
def test_the_unicode_form_does_not_count(text, name):
    assert normal_form(unicodedata.normalize(name, text)) == normal_form(text)


@given(TEXTS.map(visible_text), st.data())
def test_invisible_characters_do_not_count(text, data):
    """Zero-width spaces, copied from web pages, made two options of one."""
    added = data.draw(st.lists(st.text(INVISIBLE, max_size=2), min_size=len(text) + 1, max_size=len(text) + 1))
    disguised = "".join(f"{char}{more}" for char, more in zip(("", *text), added, strict=True))
    assert normal_form(disguised) == normal_form(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_plain_texts_take_a_shorter_way_to_the_same_form(text):
    longer = normal_form(f"é {text}").removeprefix("é").removeprefix(" ")
    assert normal_form(text) == longer
    assert folded_form(text) == longer.casefold()
