"""Opens what a retrieval needs: the index, and the model that reads its hits again."""

from __future__ import annotations

from llmtuner.retrieval.fill import ContextFinder
from llmtuner.retrieval.rerank import CrossEncoder
from llmtuner.retrieval.search import Index
from llmtuner.retrieval.settings import Retrieve


def open_finder(settings: Retrieve) -> ContextFinder:
    """What finds contexts.

    Raises:
        UserError: the index or the reranker cannot be used.
    """
    rerank = None if settings.rerank is None else CrossEncoder(settings.rerank)
    return ContextFinder(Index.open(settings.index), settings, rerank)
