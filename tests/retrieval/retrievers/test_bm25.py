"""BM25 over stored weights."""

from __future__ import annotations

import math
import random

import bm25s
import numpy as np
import pytest

from llmtuner.errors import UserError
from llmtuner.retrieval.retrievers.base import BuildSource
from llmtuner.retrieval.retrievers.bm25 import Bm25, stored_weights
from llmtuner.retrieval.terms import terms


def built(folder, texts, size=3):
    parts = [texts[start : start + size] for start in range(0, len(texts), size)]
    Bm25.build(BuildSource(rows=len(texts), parts=lambda: iter(parts), folder=folder, parts_folder=folder))
    return Bm25.open(folder, len(texts))


def formula(texts, query, k1=1.5, b=0.75):
    """BM25 as Robertson and Zaragoza write it, with Lucene's weights."""
    rows = [terms(text) for text in texts]
    mean = sum(map(len, rows)) / len(rows)
    scores = []
    for row in rows:
        score = 0.0
        for term in terms(query):
            holding = sum(term in other for other in rows)
            weight = math.log(1 + (len(rows) - holding + 0.5) / (holding + 0.5))
            score += weight * row.count(term) / (row.count(term) + k1 * (1 - b + b * len(row) / mean))
        scores.append(score)
    return scores


TEXTS = ["red red cell", "green cell of a plant", "a plant needs light and light", "the iron", "light red iron cell"]


def test_scores_are_those_of_the_formula(tmp_path):
    index = built(tmp_path, TEXTS)
    for query in ("red cell", "light light plant", "iron"):
        expected = formula(TEXTS, query)
        (hits,) = index.search([query], 10)
        assert {row: pytest.approx(score, abs=1e-5) for row, score in hits} == {
            row: score for row, score in enumerate(expected) if score > 0
        }
        assert [score for _, score in hits] == sorted((score for _, score in hits), reverse=True)


def test_the_stored_weights_are_those_of_bm25s():
    """Computed for all chunks at once, they must be what bm25s computes chunk by chunk."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 50, size).tolist() for size in rng.integers(0, 40, 200)]
    theirs = bm25s.BM25()
    vocabulary = {str(number): number for number in range(50)}
    theirs.index((rows, vocabulary), create_empty_token=False, show_progress=False)
    lengths = np.array([len(row) for row in rows])
    ours = stored_weights(np.array([number for row in rows for number in row], np.int32), lengths, 50)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(ours[name], theirs.scores[name])
        assert ours[name].dtype == theirs.scores[name].dtype
    assert ours["num_docs"] == theirs.scores["num_docs"]


def test_equal_chunks_go_by_row(tmp_path):
    index = built(tmp_path, ["light and water"] * 200 + ["water"], size=64)
    assert [row for row, _ in index.search(["water light"], 5)[0]] == [0, 1, 2, 3, 4]


def test_the_order_of_a_querys_words_counts_for_nothing(tmp_path):
    """Sums in fp32 differ in their last bit with the order, and two equal queries gave other hits."""
    rng = random.Random(0)
    words = [f"w{number}" for number in range(30)]
    index = built(tmp_path, [" ".join(rng.choices(words, k=20)) for _ in range(100)])
    query = rng.sample(words, 12)
    first, second = index.search([" ".join(query), " ".join(reversed(query))], 100)
    assert first == second


def test_a_query_finds_the_same_alone_and_among_others(tmp_path):
    random.seed(0)
    words = [f"w{number}" for number in range(60)]
    index = built(tmp_path, [" ".join(random.choices(words, k=8)) for _ in range(300)])
    queries = [" ".join(random.choices(words, k=5)) for _ in range(10)]
    assert index.search(queries, 7) == [index.search([query], 7)[0] for query in queries]


def test_what_shares_no_word_is_no_hit_and_k_may_be_large(tmp_path):
    index = built(tmp_path, TEXTS)
    assert [row for row, _ in index.search(["iron"], 100)[0]] == [3, 4]
    assert index.search(["the of and", "...", "", "unseen"], 5) == [[], [], [], []]


def test_a_corpus_of_stop_words_finds_nothing(tmp_path):
    """The mean length of a chunk is 0, and NaN came out of the division."""
    with np.errstate(all="raise"):
        index = built(tmp_path, ["to be or not to be", "that is it"])
    assert index.search(["to be", "light"], 5) == [[], []]


def test_weights_of_another_corpus_are_refused(tmp_path):
    built(tmp_path, TEXTS)
    with pytest.raises(UserError, match="has 5 chunks, and the index 6"):
        Bm25.open(tmp_path, 6)
    (tmp_path / "bm25" / "vocab.index.json").write_text("{")
    with pytest.raises(UserError, match="build the index again"):
        Bm25.open(tmp_path, 5)
