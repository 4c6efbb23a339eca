"""Which file of a model's folder would be loaded (the other damages are in tests/test_broken_models.py)."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from llmtuner.errors import UserError
from llmtuner.mcq.folders import check_model_folder, unused_layers


@pytest.fixture
def model(tmp_path):
    save_file({"weight": torch.ones(8, 8)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    return tmp_path


def test_a_pickle_beside_another_safetensors_file_is_refused(model):
    """Any safetensors file in the folder let pytorch_model.bin pass, which transformers then loads."""
    check_model_folder(model)
    (model / "model.safetensors").rename(model / "unrelated.safetensors")
    with pytest.raises(UserError, match=r"no weights in it: expected model\.safetensors.*only unrelated\.safetensors"):
        check_model_folder(model)
    (model / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(UserError, match=r"only as pickle \(pytorch_model\.bin\)"):
        check_model_folder(model)


@pytest.mark.parametrize(
    ("name", "is_taken"), [("unrelated.safetensors", True), ("weights.bin", False), ("../x.safetensors", False)]
)
def test_a_configuration_may_name_another_safetensors_file_in_its_folder(model, name, is_taken):
    (model / "model.safetensors").rename(model / "unrelated.safetensors")
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "transformers_weights": name}))
    if is_taken:
        check_model_folder(model)
        return
    with pytest.raises(UserError, match="no weights in it"):
        check_model_folder(model)


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"num_hidden_layers": 1}, "config.json says 1 layers, and the weights have 2: the others are not used"),
        ({"num_hidden_layers": 2}, ""),
        ({"num_hidden_layers": 1, "num_nextn_predict_layers": 1}, ""),
        ({"num_hidden_layers": 1, "vision_config": {}}, ""),
        ({}, ""),
    ],
)
def test_layers_that_a_configuration_leaves_out_are_said(config, line, tmp_path):
    """Half of a model was loaded and scored in silence."""
    save_file({f"model.layers.{i}.mlp.weight": torch.zeros(1) for i in range(2)}, tmp_path / "model.safetensors")
    assert unused_layers(tmp_path, config).endswith(line)
    assert bool(unused_layers(tmp_path, config)) == bool(line)
