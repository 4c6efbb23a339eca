"""Upstream's own `--stage sft` is unchanged: the same weights with and without our entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llmtuner.cli.main import main

ROOT = Path(__file__).resolve().parents[2]

UPSTREAM_ALONE = """
import sys, types, importlib.machinery
stand_in = types.ModuleType("torchaudio")
stand_in.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
sys.modules["torchaudio"] = stand_in
from llamafactory.train.tuner import run_exp
run_exp(sys.argv[1:])
"""


def command(model, dataset_dir, output_dir) -> list[str]:
    return [
        *("--stage", "sft", "--model_name_or_path", str(model), "--do_train", "--dataset", "chat_demo"),
        *("--dataset_dir", str(dataset_dir), "--template", "llama2", "--finetuning_type", "lora"),
        *("--output_dir", str(output_dir), "--overwrite_cache", "--per_device_train_batch_size", "1"),
        *("--gradient_accumulation_steps", "4", "--lr_scheduler_type", "cosine", "--learning_rate", "5e-3"),
        *("--num_train_epochs", "3.0", "--lora_dropout", "0.1", "--seed", "7", "--val_size", "2"),
    ]


@pytest.mark.subprocess
def test_the_same_adapter_with_and_without_our_entry_point(tiny_llama, tmp_path):
    """Every patch is active in one of the two runs, which must not affect upstream's own data sets."""
    result = subprocess.run(
        [sys.executable, "-c", UPSTREAM_ALONE, *command(tiny_llama, ROOT / "data", tmp_path / "upstream")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert main(command(tiny_llama, ROOT / "data", tmp_path / "ours")) == 0
    theirs = load_file(tmp_path / "upstream" / "adapter_model.safetensors")
    ours = load_file(tmp_path / "ours" / "adapter_model.safetensors")
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    trained = [tensor for name, tensor in ours.items() if "lora_B" in name]
    assert trained
    assert all(tensor.abs().max() > 0 for tensor in trained), "nothing was trained, so nothing was compared"
