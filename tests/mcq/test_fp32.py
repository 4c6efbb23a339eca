"""A half-precision model computes in fp32 with its own weights, and gets them back unchanged."""

from __future__ import annotations

import copy

import pytest
import torch
from models import MODELS, build

from llmtuner.mcq.fp32 import half_precision_of, in_fp32, widen_trained
from llmtuner.mcq.model import backbone_of

IDS = torch.arange(3, 20)[None]


def states(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return backbone_of(model)(input_ids=IDS, use_cache=False).last_hidden_state


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_states_are_those_of_the_widened_model(name, dtype):
    model = build(name).to(dtype)
    wide = copy.deepcopy(model).float()
    with in_fp32(backbone_of(model)):
        actual = states(model)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, states(wide), atol=1e-6, rtol=1e-5)
    assert (states(model).float() - actual).abs().max() > 1e-3, "nothing was rounded"


@pytest.mark.parametrize(
    ("trained", "expected"), [("mcq_head.", torch.bfloat16), ("lora_", torch.bfloat16), ("layers.1.", torch.float32)]
)
def test_a_model_is_widened_if_weights_of_its_own_are_trained(trained, expected):
    """An encoder in bf16 with some layers in fp32 (freeze tuning) ended in a traceback."""
    model = build("llama").to(torch.bfloat16)
    model.mcq_head = torch.nn.Linear(2, 2)
    model.model.layers[0].lora_A = torch.nn.Linear(2, 2)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trained in name)
    widen_trained(model)
    assert {p.dtype for name, p in model.named_parameters() if "_proj" in name} == {expected}


def test_one_layer_at_a_time_is_wide():
    """A second copy of a large model, in fp32, does not fit in memory."""
    model = build("llama").to(torch.bfloat16)
    layers = model.model.layers
    wide = []

    def count(*_):
        wide.append([layer.mlp.up_proj.weight.dtype == torch.float32 for layer in layers])

    for layer in layers:
        layer.mlp.register_forward_pre_hook(count)
    with in_fp32(model.model):
        states(model)
    assert wide == [[row == column for column in range(3)] for row in range(3)]


def test_weights_come_back_after_an_error_too():
    model = build("llama").to(torch.bfloat16)
    before = {name: (tensor.data_ptr(), tensor.dtype) for name, tensor in model.named_parameters()}
    handle = model.model.layers[1].mlp.register_forward_pre_hook(lambda *_: {}["missing"])
    with pytest.raises(KeyError, match="missing"), in_fp32(model.model):
        states(model)
    handle.remove()
    assert {name: (tensor.data_ptr(), tensor.dtype) for name, tensor in model.named_parameters()} == before
    assert states(model).dtype == torch.bfloat16, "a hook was left behind"


def test_a_model_in_fp32_has_no_half_precision():
    assert half_precision_of(build("llama")) is None
    assert half_precision_of(build("llama").half()) == torch.float16


def test_quantised_weights_stay_as_they_are():
    """Only the other weights, such as norms and embeddings, are converted to fp32."""
    model = build("llama").to(torch.bfloat16)
    packed = torch.nn.Parameter(torch.zeros(4, dtype=torch.uint8), requires_grad=False)
    model.model.layers[0].register_parameter("quantised", packed)
    seen = []
    model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: seen.append(packed.dtype))
    with in_fp32(model.model):
        states(model)
    assert seen == [torch.uint8]
