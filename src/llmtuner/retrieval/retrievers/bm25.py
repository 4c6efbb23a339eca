"""BM25: the terms that a chunk shares with the query, rare ones weighted more.

Source: Robertson and Zaragoza, "The probabilistic relevance framework: BM25 and beyond" (2009), with Lucene's weights
(k1 1.5, b 0.75); Lù, BM25S, arXiv:2407.03618, whose stored weights and files are used (package bm25s).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmtuner.errors import UserError
from llmtuner.retrieval.encoder import Encoder
from llmtuner.retrieval.ranking import best_rows
from llmtuner.retrieval.retrievers.base import BuildSource, Hits
from llmtuner.retrieval.terms import TermIds

FOLDER = "bm25"
_VOCABULARY = "vocab.index.json"


class Bm25:
    """BM25 over stored weights, which are read from disk as they are needed.

    A score is a sum over the query's terms in the order of the vocabulary, so that words in another order give the same
    score to the last bit. A chunk that shares no term with the query is no hit.
    """

    def __init__(self, weights: Any, vocabulary: dict[str, int], rows: int) -> None:
        self._weights, self._rows = weights, rows
        self._terms = TermIds(vocabulary, grows=False)

    @classmethod
    def build(cls, source: BuildSource) -> None:
        """Write the weights of every term in every chunk.

        Memory: about 1 KB a chunk of 90 words.
        """
        import bm25s

        ids = TermIds()
        numbers: list[list[int]] = []
        for texts in source.parts():
            numbers += ids.of(texts)
            source.tell(len(texts))
        if not ids.vocabulary:  # stop words only
            ids.vocabulary[""] = 0
        index = bm25s.BM25(backend="numpy")
        with np.errstate(invalid="ignore", divide="ignore"):  # chunks of stop words only have a mean length of 0
            index.index((numbers, ids.vocabulary), create_empty_token=False, show_progress=False)
        folder = source.folder / FOLDER
        index.save(folder, show_progress=False)
        # bm25s uses whichever JSON package is installed, and they differ in their blanks.
        content = json.dumps(ids.vocabulary, ensure_ascii=True, separators=(",", ":"))
        (folder / _VOCABULARY).write_text(content, encoding="ascii")

    @classmethod
    def open(cls, folder: Path, rows: int, encoder: Encoder | None = None) -> Bm25:
        """Open the weights, mapped into memory.

        Raises:
            UserError: they cannot be read, or belong to another number of chunks.
        """
        import bm25s

        place = folder / FOLDER
        try:
            weights = bm25s.BM25.load(place, mmap=True, load_corpus=False, load_vocab=False)
            vocabulary = json.loads((place / _VOCABULARY).read_text(encoding="ascii"))
            known = weights.scores["num_docs"]
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise UserError(f"{place}: cannot be read ({error}); build the index again") from error
        if known != rows:
            raise UserError(f"{place}: has {known:,} chunks, and the index {rows:,}; build the index again")
        return cls(weights, vocabulary, rows)

    def search(self, texts: Sequence[str], k: int) -> list[Hits]:
        """The k chunks that share the most with each text; none for a text without a term of the corpus."""
        return [self._hits(numbers, k) for numbers in self._terms.of(texts)]

    def _hits(self, numbers: list[int], k: int) -> Hits:
        if not numbers:
            return []
        scores_N = self._weights.get_scores_from_ids(sorted(numbers))
        rows = best_rows(scores_N, k, above=0.0)
        return list(zip(rows.tolist(), scores_N[rows].tolist(), strict=True))
