"""What the baselines of a prediction need from the questions: the places of the answers, and BM25 with the context.

A baseline uses no model. Its scores become figures by the same functions as a model's (`llmtuner.metrics`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import fsum
from typing import Any

from llmtuner.data.collect import answer_places
from llmtuner.data.question import Question
from llmtuner.data.words import words
from llmtuner.metrics import baseline, baselines

logger = logging.getLogger("llmtuner.data")

TRAIN, SCORED = "train", "scored"  # values of floor_place_from
DATA, RETRIEVE = "data", "retrieve"  # values of floor_passage_from


def baselines_of(
    questions: Sequence[Question], trained: Mapping[str, int] | None = None, *, retrieved: bool = False
) -> dict[str, float | str]:
    """Every baseline of the questions that have an answer; {} if none has.

    The longest option, chance, the most frequent place of the answer, and, where every question has a context, BM25 of
    option and context.

    Args:
        trained: how often each place is the right answer in the training data, by letter; if unknown, the places are
            counted in `questions`, so that this baseline has seen the answers.
        retrieved: whether the run retrieved the contexts; else they are those of the data.
    """
    known = [question for question in questions if question.answer is not None]
    if not known:
        return {}
    answers = [question.answer for question in known if question.answer is not None]
    places = trained or answer_places(known)
    figures: dict[str, float | str] = {**baselines([[len(option) for option in q.options] for q in known], answers)}
    figures |= baseline("place", [[places.get(letter, 0) for letter in q.letters] for q in known], answers)
    figures["floor_place_from"] = TRAIN if trained else SCORED
    passage = passage_scores(known)
    if passage is not None:
        figures |= baseline("passage", passage, answers)
        figures["floor_passage_from"] = RETRIEVE if retrieved else DATA
    return figures


def passage_scores(questions: Sequence[Question]) -> list[list[float]] | None:
    """BM25 of each option against its question's context; None if a question has no context.

    How rare a word is, is counted over the contexts of all questions.
    Source: Robertson and Zaragoza, "The probabilistic relevance framework: BM25 and beyond" (2009), with Lucene's
    weights (k1 1.5, b 0.75); packages bm25s and PyStemmer.
    """
    if not all(question.context.strip() for question in questions):
        return None
    try:
        import bm25s
        import Stemmer
    except ImportError as error:
        logger.warning("floor_passage: skipped, %s is not installed (pip install bm25s PyStemmer)", error.name)
        return None
    stem = Stemmer.Stemmer("english").stemWords
    rows = {context: row for row, context in enumerate(dict.fromkeys(q.context for q in questions))}
    contexts = [stem(words(context)) for context in rows]
    if not any(contexts):  # signs only: nothing can match
        return [[0.0] * len(question.options) for question in questions]
    index = bm25s.BM25()
    index.index(contexts, show_progress=False)
    weights = _weights_by_row(index.scores)

    def score(option: str, row: int) -> float:
        # fsum, so that the same words in another order tie exactly.
        return fsum(weights[row].get(token, 0.0) for token in index.get_tokens_ids(stem(words(option))))

    return [[score(option, rows[q.context]) for option in q.options] for q in questions]


def _weights_by_row(stored: Mapping[str, Any]) -> list[dict[int, float]]:
    """The weight of each token in each context, by its number in the index.

    The index stores them by token, and scores a query against every context, which would be quadratic here.
    """
    weights: list[dict[int, float]] = [{} for _ in range(stored["num_docs"])]
    data, rows, starts = (stored[name].tolist() for name in ("data", "indices", "indptr"))
    for token, (start, end) in enumerate(pairwise(starts)):
        for place in range(start, end):
            weights[rows[place]][token] = data[place]
    return weights
