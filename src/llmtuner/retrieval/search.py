"""Opens an index and searches it; used by every command that searches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from llmtuner.errors import UserError
from llmtuner.retrieval.encoder import Encoder
from llmtuner.retrieval.encoder_of import encoder_of
from llmtuner.retrieval.index.manifest import Manifest, check_files, read_manifest
from llmtuner.retrieval.index.store import ChunkStore
from llmtuner.retrieval.joins import surroundings
from llmtuner.retrieval.leaks import AROUND, compared_words
from llmtuner.retrieval.passages import Chunk
from llmtuner.retrieval.retrievers.base import Retriever
from llmtuner.spec.retrievers import CHUNKS, RETRIEVERS

_NEIGHBOURS = 16  # chunks on each side that are read at first for the text around one


def check_count(k: int) -> None:
    """Refuse a number of passages below 1.

    Raises:
        UserError: it is.
    """
    if k < 1:
        raise UserError(f"--k {k}: expected at least 1")


class Hit(NamedTuple):
    """A chunk that was found.

    Args:
        row: its number in the index, from 0.
        chunk_id: its id.
        score: the retriever's or, after reranking, the reranker's; larger is better.
    """

    row: int
    chunk_id: str
    score: float


class Index:
    """An index that was opened. Texts, weights and vectors stay on disk until they are needed.

    Attributes:
        folder: where it is.
        manifest: what it was made of.
        encoder: of a retriever that encodes, else None.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, store: ChunkStore, retriever: Retriever, encoder: Encoder | None
    ) -> None:
        self.folder, self.manifest, self.encoder = folder, manifest, encoder
        self._store, self._retriever = store, retriever

    @classmethod
    def open(
        cls, folder: str | os.PathLike[str], *, encoder: str | os.PathLike[str] | None = None, thorough: bool = False
    ) -> Index:
        """Check an index and open it.

        Args:
            folder: the --out of scripts/build_index.py.
            encoder: its encoder's folder, if that has moved since.
            thorough: compare files above 256 MB by SHA-256, too, not by size alone.

        Raises:
            UserError: no index, an unfinished one, one of another version, or a damaged one; or its encoder is not
                where it was, or is another.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        check_files(folder, manifest, thorough=thorough)
        store = ChunkStore(folder / CHUNKS)
        if len(store) != manifest.chunks:
            raise UserError(
                f"{folder / CHUNKS}: has {len(store):,} chunks, and the manifest says {manifest.chunks:,}; copy the "
                "whole folder again, or build the index again"
            )
        entry = RETRIEVERS[manifest.retriever]
        loaded = Encoder(encoder_of(folder, manifest, encoder)) if entry.encodes else None
        return cls(folder, manifest, store, entry.load().open(folder, len(store), loaded, store.by_id), loaded)

    def __len__(self) -> int:
        return len(self._store)

    def search(self, texts: Sequence[str], k: int) -> list[list[Hit]]:
        """The k best chunks for each text, best first; equal scores by id.

        Fewer than k if the index has fewer, or if fewer match: a text of stop words or signs alone gives none.

        Raises:
            UserError: k is below 1.
        """
        check_count(k)
        # Half of a surrogate pair is no character, and no package takes it.
        clean = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
        rankings = self._retriever.search(clean, min(k, len(self)))
        return [[Hit(row, self.chunk(row).chunk_id, score) for row, score in hits] for hits in rankings]

    def chunk(self, row: int) -> Chunk:
        """The chunk of a row."""
        return self._store.chunk(row)

    def text_around(self, row: int, words: int = AROUND) -> tuple[str, str]:
        """The text of a chunk's document before and after it.

        Each has at least so many words, as the leak guard counts them, where the document has them.

        Chunks that were left out of the index as repeats are missing in it, but for what their neighbours share with
        them.
        """
        document = self.chunk(row).document_id
        reach = _NEIGHBOURS
        while True:
            first, last = row, row
            while first > max(0, row - reach) and self.chunk(first - 1).document_id == document:
                first -= 1
            while last < min(len(self) - 1, row + reach) and self.chunk(last + 1).document_id == document:
                last += 1
            texts = [self.chunk(number).text for number in range(first, last + 1)]
            before, after = surroundings(texts, row - first, words)
            more_before = row - first == reach and len(compared_words(before)) < words
            more_after = last - row == reach and len(compared_words(after)) < words
            if not (more_before or more_after):
                return before, after
            reach *= 2
