"""`--retrieve` inside a run: the questions of a data set with their contexts."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from llmtuner.data.question import Question
from llmtuner.retrieval.cache import ContextCache, key_of, opened
from llmtuner.retrieval.check import check_index
from llmtuner.retrieval.contexts import Context
from llmtuner.retrieval.encoder_folder import encoder_folder
from llmtuner.retrieval.open import open_finder
from llmtuner.retrieval.progress import Progress
from llmtuner.retrieval.settings import Retrieve

logger = logging.getLogger("llmtuner.data")
_SAVED = 1000  # questions after which what was found is written


def with_contexts(questions: Sequence[Question], settings: Retrieve, *, speaks: bool = True) -> list[Question]:
    """The questions in their order; those without a context, or all with `replace`, get passages of the index.

    What was retrieved before, by any run, comes from the cache.

    Args:
        settings: of the retrieval.
        speaks: whether this process reports the counts.

    Raises:
        UserError: the index or the reranker cannot be used.
    """
    settings = check_index(settings)
    asked = [question for question in questions if settings.replace or not question.context.strip()]
    if not asked:
        return list(questions)
    rerank = None if settings.rerank is None else encoder_folder(settings.rerank).fingerprint
    try:
        with opened(settings, rerank) as cache:
            contexts = _contexts(asked, settings, cache, speaks=speaks)
    except (OSError, sqlite3.Error) as error:
        logger.warning("the cache of retrieved contexts cannot be used (%s); they are retrieved without it", error)
        contexts = _contexts(asked, settings, None, speaks=speaks)
    filled = [
        replace(question, context=contexts[key_of(question)].text)
        if settings.replace or not question.context.strip()
        else question
        for question in questions
    ]
    if speaks:
        found = sum(bool(contexts[key_of(question)].ids) for question in asked)
        kept = len(questions) - len(asked)
        logger.info(
            "--retrieve: %s of %s questions got passages%s",
            f"{found:,}",
            f"{len(questions):,}",
            f", {kept:,} kept the context that they had" if kept else "",
        )
    return filled


def _contexts(
    asked: Sequence[Question], settings: Retrieve, cache: ContextCache | None, *, speaks: bool
) -> dict[str, Context]:
    by_key = {key_of(question): question for question in asked}
    contexts = {} if cache is None else cache.read([*by_key])
    missing = [key for key in by_key if key not in contexts]
    if not missing:
        return contexts
    finder = open_finder(settings)
    progress = Progress(logger.info if speaks else _silent, "retrieving", unit="questions", total=len(missing))
    remaining = iter(missing)
    while part := list(islice(remaining, _SAVED)):
        found = dict(zip(part, finder.contexts([by_key[key] for key in part]), strict=True))
        contexts |= found
        if cache is not None:
            cache.write(found)
        progress(len(part))
    if speaks and (finder.counts.refused or finder.counts.cut):
        logger.info("--retrieve: %s", finder.counts.line())
    return contexts


def _silent(_line: str) -> None:
    """Other processes report nothing."""
