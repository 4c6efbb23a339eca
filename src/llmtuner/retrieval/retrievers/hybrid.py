"""BM25 and dense retrieval together, by reciprocal rank fusion: places count, since the scores cannot be compared.

Source: Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
methods", SIGIR 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from llmtuner.retrieval.encoder import Encoder
from llmtuner.retrieval.queries import merged
from llmtuner.retrieval.ranking import Ties, best_rows, by_row
from llmtuner.retrieval.retrievers.base import BuildSource, Hits
from llmtuner.retrieval.retrievers.bm25 import Bm25
from llmtuner.retrieval.retrievers.dense import Dense

DEPTH = 100  # places of each ranking that count; more if more are asked for


class Hybrid:
    """Both retrievers over the same chunks. A score is the sum of 1 / (60 + place) over both rankings."""

    def __init__(self, bm25: Bm25, dense: Dense, ties: Ties = by_row) -> None:
        self._retrievers, self._ties = (bm25, dense), ties

    @classmethod
    def build(cls, source: BuildSource) -> None:
        """Write both parts.

        Raises:
            UserError: there are too many chunks for exact search.
        """
        Dense.build(source)  # first: it may refuse the corpus
        Bm25.build(replace(source, tell=lambda count: None))

    @classmethod
    def open(cls, folder: Path, rows: int, encoder: Encoder | None, ties: Ties = by_row) -> Hybrid:
        """Open both parts.

        Raises:
            UserError: one of them is damaged.
        """
        return cls(Bm25.open(folder, rows, ties=ties), Dense.open(folder, rows, encoder, ties), ties)

    def search(self, texts: Sequence[str], k: int) -> list[Hits]:
        """The k best chunks of both rankings for each text."""
        depth = max(k, DEPTH)
        rankings = [retriever.search(texts, depth) for retriever in self._retrievers]
        return [self._fused(pair, k) for pair in zip(*rankings, strict=True)]

    def _fused(self, rankings: Sequence[Hits], k: int) -> Hits:
        hits = merged([[row for row, _ in ranking] for ranking in rankings])
        rows, scores = np.array([row for row, _ in hits], np.int64), np.array([score for _, score in hits])
        return [hits[place] for place in best_rows(scores, k, ties=lambda places: self._ties(rows[places])).tolist()]
