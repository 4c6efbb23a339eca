"""A cross-encoder that reads the best hits again."""

from __future__ import annotations

import math
import shutil

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from llmtuner.errors import UserError
from llmtuner.retrieval.index.build import build_index
from llmtuner.retrieval.rerank import CrossEncoder, reranked
from llmtuner.retrieval.search import Index


def test_a_score_is_the_models_for_the_pair(cross_encoder):
    passages = ["light and water", "Vitamin A is stored in the liver.", "iron " * 200]
    tokenizer = AutoTokenizer.from_pretrained(cross_encoder)
    model = AutoModelForSequenceClassification.from_pretrained(cross_encoder).eval()
    scores = CrossEncoder(cross_encoder, "cpu")("Where is vitamin A?", passages)
    for passage, score in zip(passages, scores, strict=True):
        pair = tokenizer("Where is vitamin A?", passage, truncation=True, max_length=96, return_tensors="pt")
        with torch.no_grad():
            assert score == pytest.approx(float(model(**pair).logits), abs=1e-5)


def test_a_long_query_keeps_its_options(cross_encoder):
    """It lost its end, where the options stand: they changed no score."""
    encoder = CrossEncoder(cross_encoder, "cpu")
    asked, passages = "Where is it? " + "light and water " * 60, ["Vitamin A is stored in the liver.", "iron " * 40]
    assert encoder(f"{asked}\nIron", passages) != encoder(f"{asked}\nLiver", passages)
    assert all(map(math.isfinite, encoder("\U0001f9ec" * 500, passages)))


def test_hits_are_ordered_by_the_new_scores_and_ties_by_id(tmp_path, corpus):
    build_index([str(corpus)], tmp_path / "index")
    index = Index.open(tmp_path / "index")
    (plain,) = index.search(["iron vitamin water"], 50)
    lengths = lambda query, passages: [-len(passage) for passage in passages]  # noqa: E731
    first, second = reranked(index, ["iron vitamin water", "the of"], 3, lengths)
    by_length = sorted(plain, key=lambda hit: (len(index.chunk(hit.row).titled), hit.chunk_id))
    assert [hit.chunk_id for hit in first] == [hit.chunk_id for hit in by_length[:3]]
    assert second == []
    (tied,) = reranked(index, ["iron vitamin water"], 50, lambda query, passages: [1.0] * len(passages))
    assert [hit.chunk_id for hit in tied] == sorted(hit.chunk_id for hit in plain)


@pytest.mark.parametrize("k", [0, -1])
def test_a_number_of_passages_below_one_is_refused(tmp_path, corpus, k):
    """With 0 nothing "matched", and with -1 the worst passage alone was left out."""
    build_index([str(corpus)], tmp_path / "index")
    with pytest.raises(UserError, match=f"--k {k}: expected at least 1"):
        reranked(Index.open(tmp_path / "index"), ["iron"], k, lambda query, passages: [1.0] * len(passages))


def test_what_is_no_cross_encoder_is_refused(tmp_path, cross_encoder, tiny_bert):
    with pytest.raises(UserError, match="no such folder"):
        CrossEncoder(tmp_path / "absent")
    with pytest.raises(UserError, match="has 2 labels, expected one"):
        CrossEncoder(tiny_bert)
    headless = shutil.copytree(tiny_bert, tmp_path / "headless")
    shutil.copy(cross_encoder / "config.json", headless)
    with pytest.raises(UserError, match="would be random"):
        CrossEncoder(headless)
