"""An adapter's files are checked against each other without torch's models: peft loads what fits, in silence."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from llmtuner.errors import UserError
from llmtuner.runs.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS, check_adapter_files, require_adapter_weights

LAYER = "base_model.model.model.layers.0.self_attn.q_proj"


def write(folder, tensors, **config):
    folder.mkdir(exist_ok=True)
    (folder / ADAPTER_CONFIG).write_text(json.dumps({"peft_type": "LORA", "r": 4, **config}))
    save_file(tensors, folder / ADAPTER_WEIGHTS)
    return folder


@pytest.fixture
def tensors():
    return {f"{LAYER}.lora_A.weight": torch.ones(4, 16), f"{LAYER}.lora_B.weight": torch.ones(16, 4)}


def test_a_whole_adapter_passes(tmp_path, tensors):
    tensors["base_model.model.model.embed_tokens.weight"] = torch.ones(8, 16)
    check_adapter_files(write(tmp_path / "adapter", tensors))


def test_another_rank_than_the_configuration_says_is_named(tmp_path, tensors):
    """It ended in torch's "size mismatch", or with an adapter that does nothing."""
    with pytest.raises(UserError, match=r"layers\.0\.self_attn\.q_proj has rank 4, and adapter_config\.json says 8"):
        check_adapter_files(write(tmp_path / "adapter", tensors, r=8))


def test_a_rank_of_its_own_is_no_other_rank(tmp_path, tensors):
    check_adapter_files(write(tmp_path / "adapter", tensors, r=8, rank_pattern={"q_proj": 4}))


def test_half_of_the_weights_is_not_enough(tmp_path, tensors):
    del tensors[f"{LAYER}.lora_B.weight"]
    with pytest.raises(UserError, match=r"half of the LoRA weights is missing for model\.layers\.0\.self_attn\.q_proj"):
        check_adapter_files(write(tmp_path / "adapter", tensors))


def test_weights_without_lora_are_no_adapter(tmp_path):
    with pytest.raises(UserError, match="no LoRA weights in it, but other"):
        check_adapter_files(write(tmp_path / "adapter", {"other": torch.ones(1)}))


def test_a_cut_file_and_a_damaged_configuration_are_named(tmp_path, tensors):
    folder = write(tmp_path / "adapter", tensors)
    whole = (folder / ADAPTER_WEIGHTS).read_bytes()
    (folder / ADAPTER_WEIGHTS).write_bytes(whole[:-8])
    with pytest.raises(UserError, match=r"adapter_model\.safetensors: cut off"):
        check_adapter_files(folder)
    (folder / ADAPTER_CONFIG).write_text('{"r": ')
    with pytest.raises(UserError, match=r"adapter_config\.json: damaged"):
        check_adapter_files(folder)


def test_a_second_safetensors_file_does_not_let_a_pickle_pass(tmp_path):
    """peft loads adapter_model.bin, whatever else is in the folder."""
    (tmp_path / "adapter_model.bin").write_bytes(b"pickle")
    save_file({"exp_avg": torch.ones(1)}, tmp_path / "optimizer.safetensors")
    with pytest.raises(UserError, match=r"a pickle \(adapter_model\.bin\)"):
        require_adapter_weights(tmp_path)
    (tmp_path / "adapter_model.bin").unlink()
    with pytest.raises(UserError, match=r"no weights in it \(adapter_model\.safetensors\)"):
        require_adapter_weights(tmp_path)
