"""Contexts that were retrieved before, in the cache folder: one small database for each index and its settings."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from llmtuner.cache import cache_folder, is_read_only, locked
from llmtuner.data.question import Question
from llmtuner.files import sha256_of_json
from llmtuner.retrieval.contexts import Context
from llmtuner.retrieval.settings import Retrieve

RULES = 6  # of queries, leak guard and contexts: raised when the same settings give other contexts
_AT_ONCE = 500  # keys of a query
logger = logging.getLogger("llmtuner.data")


class ContextCache:
    """Contexts by question; open it with `opened`.

    A cache that cannot be used costs time and nothing else: it is left alone from then on, with one warning.

    Args:
        database: None for a cache that knows nothing and stores nothing.
        writes: whether it stores anything.
    """

    def __init__(self, database: sqlite3.Connection | None = None, *, writes: bool = True) -> None:
        self._database, self._writes = database, writes

    def read(self, keys: Sequence[str]) -> dict[str, Context]:
        """The known contexts among these questions."""
        known: dict[str, Context] = {}
        for start in range(0, len(keys), _AT_ONCE):
            if self._database is None:
                return known
            part = keys[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            try:
                rows = self._database.execute(
                    f"SELECT question, context FROM contexts WHERE question IN ({marks})", part
                )
                known |= {key: context for key, text in rows if (context := _context(text)) is not None}
            except sqlite3.Error as error:
                self._leave(error)
        return known

    def write(self, contexts: Mapping[str, Context]) -> None:
        """Add contexts; they are on disk when this returns."""
        if self._database is None or not self._writes:
            return
        rows = [
            (key, json.dumps([each.text, each.ids, each.scores, each.refused, each.cut, each.unfit]))
            for key, each in contexts.items()
        ]
        try:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO contexts VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            self._leave(error)

    def close(self) -> None:
        """Close its file."""
        if self._database is not None:
            self._database.close()

    def _leave(self, error: Exception) -> None:
        self.close()
        self._database = None
        _warn(error)


def key_of(question: Question) -> str:
    """What the context of a question depends on: its text and its options."""
    return sha256_of_json([question.question, question.options])


@contextmanager
def opened(settings: Retrieve) -> Iterator[ContextCache]:
    """The cache of a retrieval. Other processes wait: they would retrieve the same contexts.

    Args:
        settings: with the digests of index and reranker.
    """
    name = sha256_of_json({"rules": RULES, "settings": settings.content})[:16]
    path = cache_folder() / "retrieve" / f"{name}.sqlite"
    with ExitStack() as stack:
        if is_read_only():
            yield stack.enter_context(closing(_open_to_read(path)))
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(path.with_suffix(".lock"), waits=_say_waiting))
        except OSError as error:
            _warn(error)
            yield ContextCache()
        else:
            yield stack.enter_context(closing(_open(path)))


def _open_to_read(path: Path) -> ContextCache:
    """The cache in a file, which stays as it is; one that knows nothing if there is none."""
    if not path.is_file():
        return ContextCache(writes=False)
    return ContextCache(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True), writes=False)


def _open(path: Path) -> ContextCache:
    """The cache in a file, which is made anew if it is damaged."""
    for is_new in (False, True):
        database = None
        try:
            if is_new:
                path.unlink(missing_ok=True)
            database = sqlite3.connect(path)
            database.execute("CREATE TABLE IF NOT EXISTS contexts (question TEXT PRIMARY KEY, context TEXT NOT NULL)")
            database.execute("SELECT question, context FROM contexts LIMIT 1").fetchall()
            return ContextCache(database)
        except (OSError, sqlite3.Error) as error:
            if database is not None:
                database.close()
            # A file that cannot be written is an OperationalError; what is no database, or has another table, is not.
            if is_new or isinstance(error, OSError | sqlite3.OperationalError):
                _warn(error)
                break
            logger.warning("%s is damaged (%s): it is made anew", path, error)
    return ContextCache()


def _context(text: str) -> Context | None:
    """A stored context; None if the text is damaged."""
    try:
        context, ids, scores, refused, cut, unfit = json.loads(text)
        return Context(str(context), tuple(ids), tuple(scores), int(refused), int(cut), int(unfit))
    except (ValueError, TypeError):
        return None


def _warn(error: Exception) -> None:
    logger.warning("the cache of retrieved contexts cannot be used (%s); they are retrieved without it", error)


def _say_waiting() -> None:
    logger.info("--retrieve: another run retrieves with the same index and settings; waiting for it")
