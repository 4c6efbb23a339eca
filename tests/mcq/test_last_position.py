"""Models with a table of positions: nothing longer than the table reaches them."""

from __future__ import annotations

import json

import pytest
import torch
from models import SIZES, build
from support import byte_level, wordpiece
from transformers import AutoConfig

from llmtuner.data.question import Question
from llmtuner.data.tokens.templates import PlainTemplate
from llmtuner.errors import DataError
from llmtuner.mcq.encoding import make_encoder
from llmtuner.mcq.kinds import POSITIONS, has_last_position, last_position
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.settings import McqSettings

SMALL = {"num_hidden_layers": 1, "max_position_embeddings": 16}
MORE = {
    "codegen": {"num_attention_heads": 4, "rotary_dim": 8},
    "gptj": {"rotary_dim": 8},
    "gpt_neo": {"attention_types": [[["global"], 1]]},
    "ctrl": {"dff": 48},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
}


@pytest.mark.parametrize("name", POSITIONS)
def test_the_table_is_transformers_own(name):
    """The key and the default of config.json, and that a longer text fails."""
    key, default = POSITIONS[name]
    assert AutoConfig.for_model(name).max_position_embeddings == default
    assert last_position({"model_type": name}) == default
    assert last_position({"model_type": name, key: 7}) == 7
    model = build(name, **SMALL, **MORE.get(name, {}))
    stored = json.loads(model.config.to_json_string(use_diff=False))
    assert last_position(stored) == 16
    ids = torch.randint(5, 200, (1, 17))
    with torch.no_grad():
        model(ids[:, :16])
        with pytest.raises((IndexError, RuntimeError)):
            model(ids)


@pytest.mark.parametrize("name", ["llama", "gpt_neox", "mistral-wide", "mamba"])
def test_other_models_have_no_end(name):
    model = build(name, **SMALL)
    assert not has_last_position(model.config)
    with torch.no_grad():
        model(torch.randint(5, 200, (1, 17)))


@pytest.mark.parametrize(
    ("name", "more", "ends"),
    [
        ("bert", {}, True),
        ("electra", {}, True),
        ("albert", {"embedding_size": 32}, True),
        ("distilbert", {"dim": 32, "hidden_dim": 48, "n_heads": 4, "n_layers": 1}, True),
        ("deberta-v2", {"relative_attention": True, "position_biased_input": False}, False),
        ("deberta-v2", {"position_biased_input": True}, True),
    ],
)
def test_which_encoders_end(name, more, ends):
    model = build(name, causal=False, **SMALL, **more)
    assert has_last_position(model.config) == ends
    ids = torch.randint(5, 200, (1, 17))
    with torch.no_grad():
        if not ends:
            model(ids)
            return
        with pytest.raises((IndexError, RuntimeError)):
            model(ids)


def test_a_question_is_cut_to_gpt2s_positions():
    """The cutoff was passed on: "index out of range in self" at the first long question."""
    config = AutoConfig.for_model("gpt2", **{**SIZES, "max_position_embeddings": 40})
    encoder = make_encoder(McqSettings(), byte_level(), config, cutoff_len=2048, template=PlainTemplate())
    assert encoder.cutoff_len == encoder.positions == 40
    question = Question("1", "Which is it?", ("air", "water"), context="the water and the air " * 40)
    (tokens,) = encoder.encode([question])
    assert max(map(len, tokens.sequences)) == 40


@pytest.mark.parametrize(("kind", "name"), [("causal", "gpt2"), ("encoder", "bert")])
def test_options_longer_than_the_model_are_refused_with_their_place(kind, name):
    """Options are never cut: a prediction reached the model with them, and died in it. An id forged a line."""
    tokenizer = byte_level() if kind == "causal" else wordpiece()
    config = AutoConfig.for_model(name, **{**SIZES, "max_position_embeddings": 16})
    settings = McqSettings(kind=kind, layout="per_option", pooling="mean")
    encoder = make_encoder(settings, tokenizer, config, cutoff_len=2048, template=PlainTemplate())
    short = Question("1", "Which is it?", ("air", "water"), file="rows.csv", line=2)
    long = Question("2\nnote: all is well", "Which is it?", ("air", "water and air " * 9), file="rows.csv", line=3)
    QuestionSet([short], encoder).fitted(16, training=False, drop=False)
    with pytest.raises(DataError, match=r"options of 1 questions are.*16 tokens[\s\S]*rows\.csv:3: id 2\\n.*: "):
        QuestionSet([short, long], encoder).fitted(16, training=False, drop=False)
    used, _ = QuestionSet([short, long], encoder).fitted(16, training=True, drop=True)
    assert len(used) == 1
