"""BM25: the terms that a chunk shares with the query, rare ones weighted more.

Source: Robertson and Zaragoza, "The probabilistic relevance framework: BM25 and beyond" (2009), with Lucene's weights
(k1 1.5, b 0.75); Lù, BM25S, arXiv:2407.03618, whose stored weights and files are used (package bm25s).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmtuner.errors import UserError
from llmtuner.retrieval.encoder import Encoder
from llmtuner.retrieval.ranking import Ties, best_rows, by_row
from llmtuner.retrieval.retrievers.base import BuildSource, Hits
from llmtuner.retrieval.terms import TermIds

FOLDER = "bm25"
K1, B = 1.5, 0.75
_PAIRS = 1 << 20  # of a term and a chunk: weighted at once
_VOCABULARY = "vocab.index.json"


class Bm25:
    """BM25 over stored weights, which are read from disk as they are needed.

    A score is a sum over the query's terms in the order of the vocabulary, so that words in another order give the same
    score to the last bit. A chunk that shares no term with the query is no hit.
    """

    def __init__(self, weights: Any, vocabulary: dict[str, int], rows: int, ties: Ties = by_row) -> None:
        self._weights, self._rows, self._ties = weights, rows, ties
        self._terms = TermIds(vocabulary, grows=False)

    @classmethod
    def build(cls, source: BuildSource) -> None:
        """Write the weight of every term in every chunk.

        Memory: about 30 bytes for each term of each chunk.
        """
        import bm25s

        ids = TermIds()
        numbers: list[NDArray[np.int32]] = []
        lengths: list[int] = []
        for texts in source.parts():
            rows = ids.of(texts)
            lengths += map(len, rows)
            numbers.append(np.fromiter(chain.from_iterable(rows), np.int32, count=sum(map(len, rows))))
            source.tell(len(texts))
        if not ids.vocabulary:  # stop words only
            ids.vocabulary[""] = 0
        index = bm25s.BM25(k1=K1, b=B, method="lucene", backend="numpy")
        index.nonoccurrence_array = None  # of other variants of BM25
        index.vocab_dict = ids.vocabulary
        terms_M = np.concatenate(numbers)
        numbers.clear()
        index.scores = stored_weights(terms_M, np.array(lengths), len(ids.vocabulary))
        folder = source.folder / FOLDER
        index.save(folder, show_progress=False)
        # bm25s uses whichever JSON package is installed, and they differ in their blanks.
        content = json.dumps(ids.vocabulary, ensure_ascii=True, separators=(",", ":"))
        (folder / _VOCABULARY).write_text(content, encoding="ascii")

    @classmethod
    def open(cls, folder: Path, rows: int, encoder: Encoder | None = None, ties: Ties = by_row) -> Bm25:
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
        return cls(weights, vocabulary, rows, ties)

    def search(self, texts: Sequence[str], k: int) -> list[Hits]:
        """The k chunks that share the most with each text; none for a text without a term of the corpus."""
        return [self._hits(numbers, k) for numbers in self._terms.of(texts)]

    def _hits(self, numbers: list[int], k: int) -> Hits:
        if not numbers:
            return []
        scores_N = self._weights.get_scores_from_ids(sorted(numbers))
        rows = best_rows(scores_N, k, above=0.0, ties=self._ties)
        return list(zip(rows.tolist(), scores_N[rows].tolist(), strict=True))


def stored_weights(terms_M: NDArray[np.int32], lengths_N: NDArray[np.int64], vocabulary: int) -> dict[str, Any]:
    """The weight of each term in each chunk, as bm25s stores them: by term, and for each term by chunk.

    They are those of bm25s' own loop over the chunks, in a third of its time.

    Shapes: M terms of all chunks, P pairs of a chunk and one of its different terms, N chunks, V terms.

    Args:
        terms_M: the numbers of the terms of all chunks, one chunk behind the other.
        lengths_N: how many terms each chunk has.
        vocabulary: the number of different terms.
    """
    rows = len(lengths_N)
    pairs_M = terms_M.astype(np.int64) * rows + np.repeat(np.arange(rows), lengths_N)
    pairs_M.sort()
    is_first_M = np.ones(len(pairs_M), bool)
    np.not_equal(pairs_M[1:], pairs_M[:-1], out=is_first_M[1:])
    first_P = np.flatnonzero(is_first_M)
    counts_P = np.diff(first_P, append=len(pairs_M)).astype(np.int32)
    pairs_P = pairs_M[first_P]
    del pairs_M, first_P  # each takes as much memory as the result
    terms_P = (pairs_P // rows).astype(np.int32)
    rows_P = (pairs_P % rows).astype(np.int32)
    del pairs_P
    holding_V = np.bincount(terms_P, minlength=vocabulary)
    rarity_V = np.log(1 + (rows - holding_V + 0.5) / (holding_V + 0.5)).astype(np.float32)
    length_N = K1 * ((1 - B) + B * lengths_N / (lengths_N.mean() or 1.0))
    data_P = np.empty(len(terms_P), np.float32)
    for start in range(0, len(terms_P), _PAIRS):
        part = slice(start, start + _PAIRS)
        counts = counts_P[part]
        data_P[part] = rarity_V[terms_P[part]] * (counts / (length_N[rows_P[part]] + counts))
    indptr = np.concatenate([[0], np.cumsum(holding_V)])
    return {"data": data_P, "indices": rows_P, "indptr": indptr, "num_docs": rows}
