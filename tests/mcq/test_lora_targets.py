"""LoRA goes into modules that exist and that use it, in families whose layers are no nn.Linear, too."""

from __future__ import annotations

import pytest
import torch
from models import build
from peft import LoraConfig, get_peft_model

from llmtuner.errors import UserError
from llmtuner.mcq.lora_targets import ALL, fitting_targets

MAMBA = {"model_type": "mamba", "state_size": 4}


def test_gpt2s_layers_are_found():
    """They are Conv1D: upstream found none, and peft complained about `target_parameters`."""
    model = build("gpt2", num_hidden_layers=3)
    assert fitting_targets(model, ALL) == ["c_attn", "c_fc", "c_proj"]
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=fitting_targets(model, ALL)))
    assert sum("lora_A" in name for name, _ in adapted.named_parameters()) == 12


def test_mambas_layers_that_peft_refuses_are_left_out():
    model = build("mamba", **MAMBA)
    targets = fitting_targets(model, ALL)
    assert targets == ["dt_proj", "in_proj", "x_proj"]
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=targets))
    with torch.no_grad():
        before = adapted(torch.arange(5)[None]).logits
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
        assert not torch.equal(adapted(torch.arange(5)[None]).logits, before)


def test_other_models_stay_upstreams_business():
    """Every linear layer, as upstream finds them: the order of the names decides the fresh weights."""
    assert fitting_targets(build("llama"), ALL) == ALL


def test_the_end_of_a_name_is_enough_and_a_part_of_a_word_is_not():
    model = build("llama")
    assert fitting_targets(model, ["self_attn.q_proj", "v_proj"]) == ["self_attn.q_proj", "v_proj"]
    for name in ("proj", "attn.q_proj", "q_projj", "lm"):
        with pytest.raises(UserError, match=f"{name}: the model has no such module; choose from: all, down"):
            fitting_targets(model, [name])


def test_a_name_without_effect_is_refused():
    with pytest.raises(UserError, match="out_proj: an adapter there has no effect in this model"):
        fitting_targets(build("mamba", **MAMBA), ["in_proj", "out_proj"])


@pytest.mark.parametrize(
    ("name", "output"), [("llama", "lm_head"), ("gpt_neox", "embed_out"), ("modernbert-decoder", "decoder")]
)
def test_the_output_layer_is_refused(name, output):
    """A training with it ended normally, and the adapter was refused ever after."""
    with pytest.raises(UserError, match=f"{output}: an adapter in the output layer cannot be loaded again; choose"):
        fitting_targets(build(name), [output])
    assert output not in fitting_targets(build(name), ALL), "upstream leaves out lm_head alone"


@pytest.mark.parametrize("tied", [True, False])
def test_embeddings_are_refused(tied):
    """Stage sft trained an adapter there that could not be loaded, and stage mcq ended in a traceback."""
    model = build("llama", tie_word_embeddings=tied)
    with pytest.raises(UserError, match="embed_tokens: an adapter in the embeddings cannot be loaded again"):
        fitting_targets(model, ["q_proj", "embed_tokens"])
    assert fitting_targets(model, ALL) == ALL
