"""The retrievers: how chunks are ranked for a query."""

from __future__ import annotations

from dataclasses import dataclass

from llmtuner.spec.entry import Entry, table

MANIFEST, CHUNKS = "manifest.json", "chunks.parquet"  # in the folder of every index
QUERY_KINDS = {
    "all": "one search with the question and all options",
    "per_option": "a search for each option, with the question in front of it; the best score of a passage counts",
    "prompt": "one search with the question alone",
}
CONTEXT_ORDERS = ("best_last", "best_first")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieverEntry(Entry):
    """A retriever.

    Args:
        encodes: whether it needs an encoder.
        parts: what it keeps in the folder of an index: files, and folders with "/".
    """

    encodes: bool = False
    parts: tuple[str, ...] = ()


RETRIEVERS = table(
    RetrieverEntry(
        name="bm25",
        code="llmtuner.retrieval.retrievers.bm25:Bm25",
        help="words that a chunk shares with the query, rare ones weighted more",
        parts=("bm25/",),
    ),
    RetrieverEntry(
        name="dense",
        code="llmtuner.retrieval.retrievers.dense:Dense",
        help="cosine similarity of an encoder's vectors",
        encodes=True,
        parts=("vectors.npy",),
    ),
    RetrieverEntry(
        name="hybrid",
        code="llmtuner.retrieval.retrievers.hybrid:Hybrid",
        help="both, by reciprocal rank fusion",
        encodes=True,
        parts=("bm25/", "vectors.npy"),
    ),
)
