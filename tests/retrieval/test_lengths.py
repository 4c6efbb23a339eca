"""The length of a text in words: Chinese by characters, and no text that is long without words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.retrieval.lengths import length, word_starts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        (" \n", 0),
        ("two words", 2),
        ("It's 3.5 V - or more.", 6),
        ("水是H2O。", 3),
        ("水。", 1),
        ("水は 水です", 5),
        ("물은 맑다", 4),
        ("x" * 16, 1),
        ("x" * 17, 2),
        ("x" * 160_000, 10_000),
        ("“curly quotes” and ünicode", 4),
    ],
)
def test_length(text, words):
    assert length(text) == words
    assert len(list(word_starts(text))) == words


@given(first=st.text(alphabet="ab 水\n。é", max_size=60), second=st.text(alphabet="ab 水\n。é", max_size=60))
def test_a_text_is_at_most_as_long_as_its_parts(first, second):
    """Chunks would exceed their limit, which is checked by adding sentences."""
    assert length(first + second) <= length(first) + length(second)


@given(text=st.text(alphabet="ab 水\n。é", max_size=60))
def test_both_ways_of_counting_agree(text):
    assert length(text) == len(list(word_starts(text)))
