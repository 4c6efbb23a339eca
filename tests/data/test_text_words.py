"""Words of texts: the fast ways give what the pattern gives."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmtuner.data import normal_form
from llmtuner.data.words import _WORD, non_ascii, words

TEXTS = st.text(alphabet=st.one_of(st.characters(), st.sampled_from("aB 1_’“—é水²½\u00ad\u0301")), max_size=40)


@given(text=TEXTS)
@example(text="don’t — “stop”")
@example(text="Poincaré’s")
@example(text="x² a\u0301b")
@example(text="a\u0345b")  # a mark whose small form is a letter
def test_words_are_those_of_the_pattern(text):
    assert words(text) == _WORD.findall(text.casefold())


@given(text=st.text(alphabet=st.one_of(st.characters(categories=["Cs", "L"]), st.sampled_from("ab ")), max_size=20))
def test_characters_outside_ascii(text):
    assert non_ascii(text) == "".join(char for char in text if ord(char) > 127)


@pytest.mark.parametrize(
    "text", ["a\u00adb", "🏴\U000e0067\U000e0062\U000e007f", "🏴", "👍\u200d", "“quoted”", "水\ufeff"]
)
def test_invisible_characters_are_removed_as_by_the_pattern(text):
    pattern = normal_form._FLAG_OR_INVISIBLE
    assert normal_form.visible_text(text) == pattern.sub(lambda match: match[1] or "", text)


@given(text=TEXTS)
def test_the_rest_stays(text):
    pattern = normal_form._FLAG_OR_INVISIBLE
    assert normal_form.visible_text(text) == pattern.sub(lambda match: match[1] or "", text)
