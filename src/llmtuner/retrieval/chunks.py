"""Cuts a document into chunks: consecutive sentences up to a number of words, each chunk overlapping the one before.

Source: 90 words and three sentences' overlap were the best of seven settings in the Kaggle solution of kurupical
(solution.md of kurupical/llm_science).
"""

from __future__ import annotations

from collections.abc import Iterator

from llmtuner.errors import UserError
from llmtuner.retrieval.lengths import length, word_starts
from llmtuner.retrieval.passages import Chunk, Document
from llmtuner.retrieval.sentences import sentence_ends

WORDS, OVERLAP = 90, 3


def cut(document: Document, words: int = WORDS, overlap: int = OVERLAP) -> Iterator[Chunk]:
    """Cut a document into chunks, in its order. Every sentence stands in at least one of them.

    A chunk takes sentences while they fit. The next chunk repeats up to `overlap` of its last sentences, as many as
    leave room for the sentence after them; so it begins at least one sentence later, and holds at least one new one. A
    sentence above the limit is cut at words, and its parts count as sentences.

    Args:
        words: the most words of a chunk, as `lengths.length` counts them; its title does not count.
        overlap: in sentences.

    Yields:
        chunks whose text is a part of the document's text, without blanks at both ends; none for a blank document.

    Raises:
        UserError: `words` below 1, or `overlap` below 0.
    """
    if words < 1 or overlap < 0:
        raise UserError(f"words {words}, overlap {overlap}: expected words of at least 1, and an overlap of at least 0")
    number = 0
    for start, end in _chunk_spans(_units(document.text, words), words, overlap):
        text = document.text[start:end].strip()
        if text:
            yield Chunk(f"{document.document_id}#{number}", document.document_id, document.title, text)
            number += 1


def _units(text: str, words: int) -> list[tuple[int, int]]:
    """The sentences, those above the limit in parts: (where it ends, its number of words)."""
    units: list[tuple[int, int]] = []
    start = 0
    for end in sentence_ends(text):
        sentence = text[start:end]
        size = length(sentence)
        if size <= words:
            units.append((end, size))
        else:
            starts = list(word_starts(sentence))
            for place in range(words, size, words):
                units.append((start + starts[place], words))
            units.append((end, size - (size - 1) // words * words))
        start = end
    return units


def _chunk_spans(units: list[tuple[int, int]], words: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Where each chunk begins and ends in the text."""
    begin = 0
    while begin < len(units):
        end, size = begin, 0
        while end < len(units) and size + units[end][1] <= words:
            size += units[end][1]
            end += 1
        yield (units[begin - 1][0] if begin else 0), units[end - 1][0]
        if end == len(units):
            return
        following = end
        room = words - units[end][1]
        # It never comes back to `begin`: from there on, the next sentence did not fit.
        while following > max(begin, end - overlap) and units[following - 1][1] <= room:
            following -= 1
            room -= units[following][1]
        begin = following
