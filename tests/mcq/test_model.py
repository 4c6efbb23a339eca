"""A head attached to a model: what is trained, what is saved, and what is unused."""

from __future__ import annotations

import pytest
import torch
from models import build

from llmtuner.errors import UserError
from llmtuner.mcq.checkpoint import check_base, describe_base, head_tensors, load_head
from llmtuner.mcq.choices import resolve
from llmtuner.mcq.model import HEAD, StowedHead, attach_head, backbone_of
from llmtuner.mcq.settings import McqSettings


def test_the_backbone_is_the_decoder_and_an_encoder_itself():
    llama = attach_head(build("llama"), resolve("causal"))
    assert backbone_of(llama) is llama.model
    bert = attach_head(build("bert", causal=False), resolve("encoder"))
    assert backbone_of(bert) is bert


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("modernbert-decoder", {}),
        ("llama4_text", {"num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 2, "intermediate_size_mlp": 32}),
    ],
)
def test_the_backbone_of_a_family_that_names_another_part_is_found(name, more):
    """ModernBERT's decoder named its output layer, and Llama 4 itself: stage mcq ended in a traceback."""
    model = attach_head(build(name, **more), resolve("causal"))
    assert backbone_of(model) is model.model


def test_a_family_without_a_backbone_is_refused(monkeypatch):
    model = build("llama")
    monkeypatch.setattr(type(model), "get_decoder", lambda self: self.lm_head)
    model.model = torch.nn.Identity()
    with pytest.raises(UserError, match="'llama' has no part of its own that computes hidden states"):
        attach_head(model, resolve("causal"))


@pytest.mark.parametrize(("name", "head"), [("llama", "lm_head"), ("gpt_neox", "embed_out")])
def test_a_stowed_lm_head_is_saved_and_loaded_and_no_parameter(name, head):
    original = build(name)
    weight = original.get_output_embeddings().weight.detach().clone()
    model = attach_head(original, resolve("causal"))
    assert not any(parameter.shape == weight.shape and head in key for key, parameter in model.named_parameters())
    state = model.state_dict()
    assert torch.equal(state[f"{head}.weight"], weight)
    loaded = attach_head(build(name), resolve("causal"))
    with torch.no_grad():
        loaded.get_output_embeddings().weight.zero_()
    assert loaded.load_state_dict(state).unexpected_keys == []
    assert torch.equal(loaded.state_dict()[f"{head}.weight"], weight)


def test_a_tied_lm_head_is_the_embedding_and_stays():
    model = attach_head(build("llama", tie_word_embeddings=True), resolve("causal"))
    assert not any(isinstance(module, StowedHead) for module in model.modules())
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_letters_need_the_lm_head():
    model = attach_head(build("llama"), resolve("causal", {"head": "letter"}))
    assert not hasattr(model, HEAD)
    assert not isinstance(model.get_output_embeddings(), StowedHead)


def test_a_heads_weights_come_back_from_a_saved_model(tmp_path):
    model = attach_head(build("llama"), resolve("causal"))
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1, "also from one shard of several"
    loaded = attach_head(build("llama"), resolve("causal"))
    torch.nn.init.zeros_(getattr(loaded, HEAD).mcq_score.weight)
    load_head(loaded, tmp_path)
    assert torch.equal(getattr(loaded, HEAD).mcq_score.weight, getattr(model, HEAD).mcq_score.weight)


def test_a_damaged_file_is_a_users_error(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    with pytest.raises(UserError, match="damaged"):
        head_tensors(tmp_path)


def test_another_base_model_is_told_apart():
    settings = McqSettings(base=describe_base(build("llama").config))
    check_base(settings, build("llama").config, "here")
    with pytest.raises(UserError, match="num_hidden_layers 3, and this one has 2"):
        check_base(settings, build("llama", num_hidden_layers=2).config, "here")
