"""One number for all dropout of a backbone, wherever its family configures it."""

from __future__ import annotations

import pytest
import torch
from models import build
from peft import LoraConfig, get_peft_model

from llmtuner.mcq.choices import resolve
from llmtuner.mcq.dropout import has_dropout, set_dropout
from llmtuner.mcq.heads.attention import CoAttention
from llmtuner.mcq.model import attach_head

IDS = torch.arange(3, 23)[None]


@pytest.mark.parametrize("name", ["llama", "gpt_neox", "phi3", "opt", "bert", "distilbert"])
def test_it_reaches_the_computation_and_can_be_taken_away(name):
    model = build(name, causal=name not in ("bert", "distilbert")).train()
    passes = {}
    for probability in (0.5, 0.0):
        set_dropout(model, probability)
        first, second = (model(IDS, output_hidden_states=True).hidden_states[-1] for _ in range(2))
        passes[probability] = torch.equal(first, second)
    assert passes == {0.5: False, 0.0: True}


def test_adapters_keep_theirs():
    model = attach_head(build("llama"), resolve("causal"))
    model = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], lora_dropout=0.3))
    set_dropout(model, 0.0)
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.3}


def test_a_whole_number_in_a_config_is_a_dropout_too():
    model = build("llama", attention_dropout=0).train()
    assert set_dropout(model, 0.5) == 3, "one a layer"
    assert not torch.equal(*(model(IDS, output_hidden_states=True).hidden_states[-1] for _ in range(2)))


def test_dropout_of_a_head_that_is_not_there_is_none():
    """DistilBERT's configuration has dropout for two other heads; R-Drop ran without any dropout."""
    model = build("distilbert", causal=False)
    assert has_dropout(model)
    set_dropout(model, 0.0)
    assert model.config.qa_dropout > 0
    assert not has_dropout(model)
    head = CoAttention(8, 2, dropout=0.1)
    assert has_dropout(torch.nn.ModuleList([model, head]))


def test_layers_are_left_out_as_often_as_before():
    """Layerdrop has "drop" in its name, too: --mcq_dropout 0.5 must not leave out every other layer of an OPT."""
    model = build("opt", layerdrop=0.25)
    dropped = [module for module in model.modules() if hasattr(module, "layerdrop")]
    assert dropped
    assert set_dropout(model, 0.5) > 0
    assert {module.layerdrop for module in dropped} == {0.25}
