"""Opens what a retrieval needs: the index, and the model that reads its hits again."""

from __future__ import annotations

from llmtuner.retrieval.fill import ContextFinder
from llmtuner.retrieval.rerankers import CROSS_ENCODERS, Rerankers
from llmtuner.retrieval.search import Index
from llmtuner.retrieval.settings import Retrieve


def open_finder(settings: Retrieve, rerankers: Rerankers = CROSS_ENCODERS) -> ContextFinder:
    """What finds contexts.

    Args:
        rerankers: the models that can rerank.

    Raises:
        UserError: the index or the reranker cannot be used.
    """
    rerank = None if settings.rerank is None else rerankers.load(settings.rerank)
    return ContextFinder(Index.open(settings.index), settings, rerank)
