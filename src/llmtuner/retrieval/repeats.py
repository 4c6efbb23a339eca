"""Leaves out chunks that repeat an earlier one, exactly or nearly, and chunks without words."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain, islice
from typing import Any

import numpy as np

from llmtuner.data.normal_form import normal_form
from llmtuner.data.words import cased_words_and_signs
from llmtuner.retrieval.near import NearIndex
from llmtuner.retrieval.passages import Chunk

# With 0.9, a text of fewer than 37 words is never a near duplicate of one that differs in a word: "vitamin A" and
# "vitamin K" are two facts. Of the textbooks' pairs from 0.75 on, all that were looked at are copies.
NEAR = 0.9
_BEGIN, _END = 1, 2  # they make pairs with the first and the last word, so that each word stands in two pairs
_BATCH = 8192  # chunks
_VOCABULARY = 500_000  # words whose hashes are stored
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class Repeats:
    """Which chunks of a corpus are kept, and how many were left out.

    Two chunks are exact duplicates if title and text have the same normal form (white space, width and invisible
    characters do not count; case does). They are near duplicates if the Jaccard similarity of their pairs of
    neighbouring words and signs, the title's included, is at least `near`. The first one is kept. Chunks of one
    document overlap by design: they are compared for exact duplicates only.

    The result depends only on the chunks and their order, not on how they are divided between calls.

    Args:
        near: the similarity from which on two chunks are near duplicates; above 1, none are.

    Attributes:
        kept, exact, near, wordless: how many chunks were kept, and left out for each reason.
    """

    def __init__(self, near: float = NEAR) -> None:
        self.kept = self.exact = self.near = self.wordless = 0
        self._forms: set[int] = set()
        self._index = NearIndex(near) if near <= 1 else None
        self._words = _WordHashes()

    def keep(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """The chunks without those that repeat an earlier one or have no words, in their order."""
        remaining = iter(chunks)
        while batch := list(islice(remaining, _BATCH)):
            yield from self._kept_of(batch)

    def _kept_of(self, batch: Sequence[Chunk]) -> list[Chunk]:
        candidates: list[Chunk] = []
        words: list[list[int]] = []
        for chunk in batch:
            form = normal_form(chunk.titled)
            digest = _hash64(form)
            if digest in self._forms:
                self.exact += 1
                continue
            if not any(map(str.isalnum, chunk.text)):
                self.wordless += 1
                continue
            self._forms.add(digest)
            candidates.append(chunk)
            if self._index is not None:
                words.append(self._words.hashes(cased_words_and_signs(form)))
        if self._index is not None and candidates:
            documents = [_hash64(chunk.document_id) for chunk in candidates]
            decisions = self._index.keep(_pair_sets(words), documents)
            self.near += decisions.count(False)
            candidates = [chunk for chunk, is_kept in zip(candidates, decisions, strict=True) if is_kept]
        self.kept += len(candidates)
        return candidates


class _WordHashes(dict[str, int]):
    """32-bit hashes of words, the same in every process; those of the words seen last are stored."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _VOCABULARY:
            self.clear()
        value = self[word] = zlib.crc32(word.encode("utf-8", "surrogatepass"))
        return value

    def hashes(self, words: Sequence[str]) -> list[int]:
        """The hash of each word, between marks of the beginning and the end; [] if there is no word."""
        return [_BEGIN, *map(self.__getitem__, words), _END] if words else []


def _hash64(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _pair_sets(texts: Sequence[Sequence[int]]) -> list[Any]:
    """The pairs of neighbouring words of each text as a sorted array of uint32."""
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    words_M = np.fromiter(chain.from_iterable(texts), dtype=np.uint64, count=int(lengths.sum()))
    text_of_word = np.repeat(np.arange(len(texts)), lengths)
    following_M = np.zeros_like(words_M)
    following_M[:-1] = words_M[1:]
    is_last = np.ones(len(words_M), dtype=bool)
    is_last[:-1] = text_of_word[1:] != text_of_word[:-1]
    hashed_M = ((words_M * _FACTOR) ^ (following_M * np.uint64(0xC2B2AE3D27D4EB4F))) * _FACTOR
    pairs = (text_of_word.astype(np.uint64) << np.uint64(32)) | (hashed_M >> np.uint64(32))
    pairs = np.sort(pairs[~is_last])  # not np.unique, whose hash table takes ten times as long
    is_first = np.ones(len(pairs), dtype=bool)
    is_first[1:] = pairs[1:] != pairs[:-1]
    unique = pairs[is_first]
    bounds = np.searchsorted(unique >> np.uint64(32), np.arange(1, len(texts)))
    return np.split((unique & np.uint64(0xFFFFFFFF)).astype(np.uint32), bounds)
