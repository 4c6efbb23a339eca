"""Contexts that were retrieved before, in the cache folder: one small database for each index and its settings."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from llmtuner.cache import cache_folder, locked
from llmtuner.data.question import Question
from llmtuner.files import sha256_of_json
from llmtuner.retrieval.contexts import Context
from llmtuner.retrieval.settings import Retrieve

RULES = 1  # of queries, leak guard and contexts: raised when the same settings give other contexts
_AT_ONCE = 500  # keys of a query


class ContextCache:
    """Contexts by question; open it with `opened`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute("CREATE TABLE IF NOT EXISTS contexts (question TEXT PRIMARY KEY, context TEXT NOT NULL)")

    def read(self, keys: Sequence[str]) -> dict[str, Context]:
        """The known contexts among these questions."""
        known: dict[str, Context] = {}
        for start in range(0, len(keys), _AT_ONCE):
            part = keys[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = self._database.execute(f"SELECT question, context FROM contexts WHERE question IN ({marks})", part)
            known |= {key: _context(text) for key, text in rows}
        return known

    def write(self, contexts: dict[str, Context]) -> None:
        """Add contexts; they are on disk when this returns."""
        rows = [(key, json.dumps([c.text, c.ids, c.scores])) for key, c in contexts.items()]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO contexts VALUES (?, ?)", rows)


def key_of(question: Question) -> str:
    """What the context of a question depends on: its text and its options."""
    return sha256_of_json([question.question, question.options])


@contextmanager
def opened(settings: Retrieve, rerank: object) -> Iterator[ContextCache]:
    """The cache of a retrieval. Other processes wait: they would retrieve the same contexts.

    Args:
        settings: with the fingerprint of the index.
        rerank: what describes the reranker's content; None without one.

    Raises:
        OSError, sqlite3.Error: the cache cannot be written, or is damaged.
    """
    content = {name: value for name, value in settings.content.items() if name != "rerank"}
    name = sha256_of_json({"rules": RULES, "settings": content, "rerank": rerank})[:16]
    path: Path = cache_folder() / "retrieve" / f"{name}.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock")), closing(sqlite3.connect(path)) as database:
        yield ContextCache(database)


def _context(text: str) -> Context:
    context, ids, scores = json.loads(text)
    return Context(context, tuple(ids), tuple(scores))
