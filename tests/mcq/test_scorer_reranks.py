"""A trained scorer as a reranker: its scores are those of the head, whatever stands beside a passage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from llmtuner.data.question import Question
from llmtuner.errors import UserError
from llmtuner.mcq.choices import resolve
from llmtuner.mcq.encoding import complete, make_encoder
from llmtuner.mcq.model import attach_head
from llmtuner.mcq.rerank import RERANKERS
from llmtuner.mcq.scorer import OptionScorer, load_scorer
from llmtuner.mcq.settings import CONFIG_NAME
from llmtuner.spec.heads import HEADS

QUERY = "Where is vitamin A stored?"
PASSAGES = [f"Passage {n} says that vitamin {letter} is stored {n} times." for n, letter in enumerate("ABCDEFGHIJKLM")]


def write_scorer(folder: Path, base: Path, **given: str) -> Path:
    """A random scorer of the stage's form, as a training with full tuning leaves it."""
    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModel.from_pretrained(base)
    settings = resolve("encoder", given, model.config.to_dict())
    encoder = make_encoder(settings, tokenizer, model.config, cutoff_len=96)
    settings = complete(settings, encoder, model.config, None)
    torch.manual_seed(3)
    attach_head(model, settings)
    OptionScorer(model, tokenizer, settings).save(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tiny_bert, tmp_path_factory) -> Path:
    return write_scorer(tmp_path_factory.mktemp("scorer") / "model", tiny_bert)


@pytest.mark.parametrize("head", ["linear", "duma"])
def test_scores_are_those_of_the_head_for_the_passage_as_an_option(head, tiny_bert, tmp_path):
    model = write_scorer(tmp_path / "scorer", tiny_bert, head=head)
    rerank, scorer = RERANKERS.load(str(model)), load_scorer(model)
    actual = rerank(QUERY, PASSAGES)
    for passage, score in zip(PASSAGES, actual, strict=True):
        (prediction,) = scorer.score([Question("", QUERY, (passage, "Something else."))])
        assert score == pytest.approx(prediction.scores[0], abs=1e-5)
    assert torch.tensor(actual).std() > 1e-4, "equal scores show nothing"


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 13])
def test_a_score_does_not_depend_on_the_other_passages(folder, count):
    """Ten options are the most of a question, and a passage that was left alone was no question."""
    rerank = RERANKERS.load(str(folder))
    alone = [score for passage in PASSAGES[:count] for score in rerank(QUERY, [passage])]
    assert rerank(QUERY, PASSAGES[:count]) == pytest.approx(alone, abs=1e-5)


def test_long_queries_and_passages_are_cut_instead_of_refused(folder):
    """More tokens than the model has positions ended the run."""
    rerank, long = RERANKERS.load(str(folder)), "vitamin light water " * 300
    scores = rerank(long, ["short", long])
    assert torch.tensor(scores).isfinite().all()
    assert rerank(QUERY, [long, long + " more"])[0] == rerank(QUERY, [long, long + " more"])[1], "only the end differs"
    assert rerank(f"{QUERY} {long}", ["short"]) != rerank(f"Why? {long}", ["short"]), "the query's beginning is read"
    assert rerank("A" * 3000, ["B" * 3000])


def test_what_a_tokenizer_cannot_read_is_no_mistake(folder):
    """A passage in another script ended the search of a whole exam."""
    assert len(RERANKERS.load(str(folder))(QUERY, ["水是一种化合物。", "ΩΩΩ", "Vitamin A"])) == 3


REFUSED = {
    "option_mean": "depends on the other options",
    "cduma": "depends on the other options",
    "letter": "tokens",
    "likelihood": "tokens",
    "joint": "other options of its prompt",
}


@pytest.mark.parametrize("name", REFUSED)
def test_heads_that_compare_options_are_refused_before_and_at_loading(name, folder, tmp_path):
    model = shutil.copytree(folder, tmp_path / "scorer")
    settings = json.loads((model / CONFIG_NAME).read_text())
    changes = (
        {"layout": "joint", "num_options": 4, "kind": "causal", "pooling": "last"}
        if name == "joint"
        else {"head": name}
    )
    if name in ("letter", "likelihood"):
        layout = "joint" if name == "letter" else "shared_prefix"
        changes |= {"kind": "causal", "pooling": "none", "layout": layout, "loss": "cross_entropy"}
        changes |= {"likelihood_norm": "sum"} if name == "likelihood" else {}
    if name == "cduma":
        from dataclasses import asdict

        changes["duma"] = asdict(
            resolve("encoder", {"head": "cduma"}, {"hidden_size": 32, "num_attention_heads": 4}).duma
        )
    (model / CONFIG_NAME).write_text(json.dumps(settings | changes))
    with pytest.raises(UserError, match=rf"^`rerank` .*{REFUSED[name]}.*linear or duma"):
        RERANKERS.digest(str(model))


def test_every_head_is_taken_or_refused_here():
    assert HEADS.keys() == {"linear", "duma", *REFUSED} - {"joint"}


def test_the_digest_is_that_of_the_content_and_not_of_the_place(folder, tiny_bert, tmp_path):
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert RERANKERS.digest(str(moved)) == RERANKERS.digest(str(folder))
    other = write_scorer(tmp_path / "other", tiny_bert, pooling="first")
    assert RERANKERS.digest(str(other)) != RERANKERS.digest(str(folder))


def test_a_cross_encoder_is_loaded_as_one_and_what_is_neither_is_refused(folder, tiny_bert, tmp_path):
    with pytest.raises(UserError, match=r"`rerank` .*has 2 labels, expected one"):
        RERANKERS.load(str(tiny_bert))
    with pytest.raises(UserError, match=r"`rerank` .*no such folder"):
        RERANKERS.digest(str(tmp_path / "absent"))
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / CONFIG_NAME).write_text("{")
    with pytest.raises(UserError, match="`rerank` "):
        RERANKERS.digest(str(damaged))
