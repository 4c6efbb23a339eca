"""`--retrieve` inside a run: the questions of a data set with their contexts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from llmtuner.data.question import Question
from llmtuner.errors import UserError
from llmtuner.retrieval.cache import ContextCache, key_of, opened
from llmtuner.retrieval.check import checked
from llmtuner.retrieval.contexts import Context
from llmtuner.retrieval.fill import Counts
from llmtuner.retrieval.open import open_finder
from llmtuner.retrieval.progress import Progress
from llmtuner.retrieval.rerankers import CROSS_ENCODERS, Rerankers
from llmtuner.retrieval.settings import FLAG, Retrieve, with_flags

logger = logging.getLogger("llmtuner.data")
_SAVED = 256  # questions after which what was found is written


def with_contexts(
    questions: Sequence[Question],
    settings: Retrieve,
    rerankers: Rerankers = CROSS_ENCODERS,
    *,
    speaks: bool = True,
) -> list[Question]:
    """The questions in their order; those without a context, or all with `replace`, get passages of the index.

    What was retrieved before, by any run, comes from the cache.

    Args:
        settings: of the retrieval.
        rerankers: the models that can rerank.
        speaks: whether this process reports the counts.

    Raises:
        UserError: the index or the reranker cannot be used.
    """
    by_key = {key_of(question): question for question in questions if settings.fills(question)}
    contexts: dict[str, Context] = {}
    if by_key:
        try:
            settings = checked(settings, rerankers)
            with opened(settings) as cache:
                contexts = _contexts(by_key, settings, rerankers, cache, speaks=speaks)
        except UserError as error:
            raise UserError(with_flags(str(error), f"{FLAG}_")) from error
    counts, filled = Counts(), []
    for question in questions:
        context = contexts[key_of(question)] if settings.fills(question) else None
        filled.append(question if context is None else replace(question, context=context.text))
        counts.add(context)
    if speaks and questions:
        logger.info("--retrieve: %s", with_flags(counts.line(), f"{FLAG}_"))
    return filled


def _contexts(
    by_key: dict[str, Question], settings: Retrieve, rerankers: Rerankers, cache: ContextCache, *, speaks: bool
) -> dict[str, Context]:
    contexts = cache.read([*by_key])
    missing = [key for key in by_key if key not in contexts]
    if not missing:
        return contexts
    finder = open_finder(settings, rerankers)
    progress = Progress(logger.info if speaks else _silent, "retrieving", unit="questions", total=len(missing))
    remaining = iter(missing)
    while part := list(islice(remaining, _SAVED)):
        filled = finder.fill(replace(by_key[key], context="") for key in part)
        retrieved = {}
        for key, (_, context) in zip(part, filled, strict=True):
            assert context is not None, "a question without a context gets one"
            retrieved[key] = context
            progress(1)
        contexts |= retrieved
        cache.write(retrieved)
    return contexts


def _silent(_line: str) -> None:
    """Other processes report nothing."""
