"""Chunks put together again: the text of the document, with no sentence twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.retrieval.chunks import cut
from llmtuner.retrieval.joins import join, overlap, surroundings
from llmtuner.retrieval.leaks import AROUND, compared_words
from llmtuner.retrieval.passages import Document

SENTENCES = st.lists(
    st.sampled_from(
        ["Yes. ", "Cells divide and grow. ", "The U.S. Army left! ", "水沸腾。", "好！", "A line\n", "It is 3.5 V.\n\n"]
    ),
    min_size=1,
    max_size=14,
)  # fmt: skip


@given(parts=SENTENCES, words=st.integers(min_value=6, max_value=12), depth=st.integers(min_value=1, max_value=4))
def test_joined_chunks_are_the_document(parts, words, depth):
    """Chunks join where they overlap; sentences are numbered, so that only real overlaps match."""
    text = "".join(f"{number}{part}" for number, part in enumerate(parts)).strip()
    chunks = [chunk.text for chunk in cut(Document("d", "", text), words, depth)]
    whole = chunks[0]
    for chunk in chunks[1:]:
        joined = join(whole, chunk)
        if joined is None:  # nothing is repeated where the next sentence needs the room
            assert text.count(whole[-6:] + chunk[:6]) + text.count(f"{whole[-6:]} {chunk[:6]}") <= 1
            whole = chunk
        else:
            whole = joined
            assert whole in text


def test_the_longest_overlap_counts():
    assert join("A cell. It grows. It grows.", "It grows. It grows. It ends.") == "A cell. It grows. It grows. It ends."


def test_a_short_sentence_is_an_overlap():
    assert join("A cell. Yes.", "Yes. No.") == "A cell. Yes. No."
    assert join("一。好。", "好。二。") == "一。好。二。"
    assert join("Text\nA line", "A line\nMore") == "Text\nA line\nMore"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("It needs vitamin A", "A cell divides."),
        ("It needs the vitamin", "the vitamin A is needed."),
        ("A cell.", "The cell."),
        ("", "A."),
        ("A.", ""),
    ],
)
def test_no_overlap(first, second):
    """ "vitamin A" and "A cell" became "vitamin A cell"."""
    assert overlap(first, second) == 0
    assert join(first, second) is None


def numbered(first, last):
    return " ".join(f"Sentence number {number} of this text." for number in range(first, last))


def test_surroundings_hold_each_sentence_once():
    chunks = [chunk.text for chunk in cut(Document("d", "", numbered(0, 60)), 40, 3)]
    place = 9
    before, after = surroundings(chunks, place, 10_000)
    assert f"{before.strip()} {chunks[place]} {after.strip()}" == numbered(0, 60)


def test_surroundings_reach_as_far_as_needed():
    """The whole book was joined for each hit."""
    chunks = [chunk.text for chunk in cut(Document("d", "", numbered(0, 600)), 40, 3)]
    before, after = surroundings(chunks, 60, 100)
    assert 100 <= len(before.split()) < 130
    assert 100 <= len(after.split()) < 130
    assert surroundings(chunks, 0, 100)[0] == ""
    assert surroundings(chunks, len(chunks) - 1, 100)[1] == ""


def test_surroundings_of_chunks_that_do_not_overlap():
    assert surroundings(["One.", "Two.", "Three.", "Four.", "Five."], 2, 2) == ("One. Two.", "Four. Five.")


@pytest.mark.parametrize("word", ["w{} |", "abcdefghijklmnopqrst{}"], ids=["a table", "long words"])
def test_the_text_around_a_passage_has_as_many_words_as_the_leak_guard_reads(word):
    """Signs counted as words and long words as two: an exam 380 words behind a passage was not seen."""
    texts = [" ".join(word.format(f"{chunk}x{n}") for n in range(40)) + "." for chunk in range(41)]
    before, after = surroundings(texts, 20, AROUND)
    assert len(compared_words(before)) >= AROUND <= len(compared_words(after))
