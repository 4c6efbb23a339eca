"""GPT-2 through both stages: its layers are no nn.Linear, and its positions end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import byte_level

from llmtuner.cli.main import main

POSITIONS = 250  # no multiple of 8, to which upstream pads


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> Path:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("models") / "gpt2"
    tokenizer = byte_level()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": POSITIONS}
    config = AutoConfig.for_model("gpt2", vocab_size=len(tokenizer), **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def questions(tmp_path_factory) -> Path:
    """Questions whose contexts are far longer than the model's positions, and whose options are short."""
    row = {"query": "Which is it?", "choices": ["air", "water"], "gold": 0, "context": "the water and the air " * 99}
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    path.write_text("".join(json.dumps(row | {"query": f"Which is it, {n}?"}) + "\n" for n in range(4)))
    return path


def run(model, stage: str, *more: object) -> int:
    words = ["--stage", stage, "--model_name_or_path", model, "--template", "default", "--report_to", "none", *more]
    return main([str(word) for word in words])


@pytest.mark.parametrize("stage", ["sft", "mcq"])
def test_gpt2_trains_and_predicts(stage, gpt2, questions, tmp_path, capsys):
    """Upstream found no layer for LoRA, and every longer question ended in "index out of range in self"."""
    trained = tmp_path / "trained"
    assert run(gpt2, stage, "--do_train", "--dataset", questions, "--max_steps", 1, "--output_dir", trained) == 0
    assert set(json.loads((trained / "adapter_config.json").read_text())["target_modules"]) >= {"c_attn", "c_proj"}
    predict = ("--do_predict", "--eval_dataset", questions, "--adapter_name_or_path", trained)
    assert run(gpt2, stage, *predict, "--output_dir", tmp_path / "out") == 0
    notices = capsys.readouterr().err
    assert "positions for" in notices
    assert len((tmp_path / "out" / "predictions.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize("stage", ["sft", "mcq"])
def test_options_longer_than_the_positions_are_refused(stage, gpt2, tmp_path, capsys):
    """Options are never cut, so that a prediction died in the model."""
    row = {"query": "Which?", "choices": ["air", "water and air " * 199], "gold": 0}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    more = ("--mcq_head", "letter") if stage == "mcq" else ()
    predict = ("--do_predict", "--eval_dataset", tmp_path / "rows.jsonl", "--output_dir", tmp_path / "out", *more)
    assert run(gpt2, stage, *predict) == 2
    message = capsys.readouterr().err
    assert f"positions for {POSITIONS}" in message
    assert "Traceback" not in message
