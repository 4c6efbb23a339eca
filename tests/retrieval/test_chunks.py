"""Chunks: every sentence stands in one, none is too long, each begins later and ends later than the one before."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.errors import UserError
from llmtuner.retrieval.chunks import cut
from llmtuner.retrieval.lengths import length
from llmtuner.retrieval.passages import Document

TEXTS = st.lists(
    st.integers(min_value=0, max_value=30).flatmap(
        lambda words: st.sampled_from(
            [
                "Word" + " word" * words + ". ",
                "水" * (words + 1) + "。",
                "x" * (20 * words + 1) + ". ",
                "A line" + " of words" * words + "\n\n",
                "Line" + " more" * words + "\n",
            ]
        )
    ),
    max_size=12,
).map("".join)
LIMITS = st.integers(min_value=1, max_value=25)
OVERLAPS = st.integers(min_value=0, max_value=4)


def chunks_of(text, words=90, overlap=3):
    return list(cut(Document("doc", "A title", text), words, overlap))


# Letters that are no ideographs; among the characters between them are blanks and ends of sentences.
LETTERS = [chr(code) for code in range(0x1200, 0x20000) if chr(code).isalpha() and not 0x2E80 <= code <= 0xFFFF]


def distinct(text):
    """The text with other words and characters in every place, so that each part stands in one place only."""
    numbers = iter(range(20_000))

    def other(match):
        number = next(numbers)
        return {"x": LETTERS[number], "水": chr(0x4E00 + number)}.get(match[0], f"{match[0]}{number:05}")

    return re.sub("水|x|[A-Za-wyz]+", other, text)


def spans(text, chunks):
    """Where each chunk stands in the text."""
    assert all(text.count(chunk.text) == 1 for chunk in chunks)
    return [(begin := text.index(chunk.text), begin + len(chunk.text)) for chunk in chunks]


@given(text=TEXTS, words=LIMITS, overlap=OVERLAPS)
def test_every_part_of_the_text_stands_in_a_chunk(text, words, overlap):
    text = distinct(text)
    covered = bytearray(len(text))
    for begin, end in spans(text, chunks_of(text, words, overlap)):
        covered[begin:end] = b"\1" * (end - begin)
    assert all(is_covered or char.isspace() for is_covered, char in zip(covered, text, strict=True))


@given(text=TEXTS, words=LIMITS, overlap=OVERLAPS)
def test_no_chunk_exceeds_the_limit(text, words, overlap):
    assert all(0 < length(chunk.text) <= words for chunk in chunks_of(text, words, overlap))


@given(text=TEXTS, words=LIMITS, overlap=OVERLAPS)
def test_each_chunk_begins_and_ends_later_than_the_one_before(text, words, overlap):
    """A chunk within the one before is a passage that says nothing new, and the cutting might never end."""
    text = distinct(text)
    places = spans(text, chunks_of(text, words, overlap))
    for (begin, end), (next_begin, next_end) in pairwise(places):
        assert begin < next_begin
        assert end < next_end


@given(text=TEXTS, words=LIMITS, overlap=OVERLAPS)
def test_ids_are_stable_and_count_from_0(text, words, overlap):
    chunks = chunks_of(text, words, overlap)
    assert [chunk.chunk_id for chunk in chunks] == [f"doc#{number}" for number in range(len(chunks))]
    assert all((chunk.document_id, chunk.title) == ("doc", "A title") for chunk in chunks)
    assert chunks == chunks_of(text, words, overlap)


def sentence(number, words=9):
    return f"Sentence{number} " + " ".join(["word"] * (words - 1)) + ". "


def test_three_sentences_of_the_chunk_before_are_repeated():
    text = "".join(sentence(number) for number in range(24))
    assert [[word for word in chunk.text.split() if "S" in word] for chunk in chunks_of(text, 50, 3)][:3] == [
        [f"Sentence{number}" for number in range(first, first + 5)] for first in (0, 2, 4)
    ]


def test_fewer_are_repeated_where_the_next_sentence_needs_the_room():
    """With three sentences' overlap the next one would not fit, and the chunk would say nothing new."""
    text = sentence(0, 5) + sentence(1, 40) + sentence(2, 40) + sentence(3, 80)
    assert [[word[-1] for word in chunk.text.split() if "S" in word] for chunk in chunks_of(text)] == [
        ["0", "1", "2"],
        ["3"],
    ]
    text = sentence(0, 5) + sentence(1, 40) + sentence(2, 40) + sentence(3, 45)
    assert [[word[-1] for word in chunk.text.split() if "S" in word] for chunk in chunks_of(text)][1] == ["2", "3"]


def test_a_sentence_above_the_limit_is_cut_at_words():
    text = "Start here. " + " ".join(f"W{number}" for number in range(205)) + ". End here."
    chunks = chunks_of(text)
    assert [length(chunk.text) for chunk in chunks] == [2, 90, 90, 27]
    assert chunks[1].text.startswith("W0 ")
    assert chunks[2].text.startswith("W90 ")
    assert chunks[3].text.endswith("W204. End here.")


def test_chinese_is_cut_by_characters():
    chunks = chunks_of("水在一百度沸腾。" * 30)
    assert len(chunks) > 2
    assert all(chunk.text == "水在一百度沸腾。" * 12 for chunk in chunks[:-1])  # 84 characters


def test_the_title_is_not_in_the_text():
    [chunk] = chunks_of("Cells divide.")
    assert (chunk.text, chunk.titled) == ("Cells divide.", "A title\nCells divide.")


@pytest.mark.parametrize("text", ["", " \n\u2028\t"])
def test_a_blank_document_has_no_chunk(text):
    assert chunks_of(text) == []


def test_u2028_within_a_passage_stays():
    [chunk] = chunks_of("One line\u2028another line. The end.")
    assert chunk.text == "One line\u2028another line. The end."


def test_ten_megabytes_in_one_document():
    """A document of this size took minutes when each chunk copied the rest of the text."""
    text = sentence(0, 14) * 120_000 + "The end is here."
    assert len(text) > 9_000_000
    chunks = chunks_of(text)
    assert chunks[-1].text.endswith("The end is here.")
    assert len(chunks) == 39_999


@pytest.mark.parametrize(("words", "overlap"), [(0, 3), (-1, 3), (90, -1)])
def test_impossible_sizes(words, overlap):
    with pytest.raises(UserError, match="at least"):
        list(cut(Document("doc", "", "text"), words, overlap))
