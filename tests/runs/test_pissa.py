"""PiSSA: an adapter that takes a part of its base model's weights with it."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from support import DEMO
from transformers import Trainer

from llmtuner.cli.main import main
from llmtuner.data.predictions import read_predictions
from llmtuner.errors import RunError, UserError
from llmtuner.runs.adapter import check_random_start
from llmtuner.runs.checkpoints import all_of, set_all_aside
from llmtuner.runs.intact import require_intact
from llmtuner.runs.manifest import Manifest, read_manifest, write_manifest
from llmtuner.runs.weights import base_fingerprint


@pytest.fixture
def adapter(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"init_lora_weights": "pissa_niter_4"}))
    manifest = Manifest(stage="sft", step=1, max_steps=1, epoch=1.0, settings={"seed": 42})
    write_manifest(manifest, tmp_path / "run.json")
    return tmp_path


@pytest.mark.parametrize("seed", [None, 7])
def test_a_random_start_needs_the_seed_of_the_training(adapter, seed):
    """merge.py, load_scorer and predictions with another --seed gave other scores, in silence."""
    with pytest.raises(UserError, match="train it again with --pissa_convert true, or --pissa_iter -1"):
        check_random_start(adapter, seed)
    check_random_start(adapter, 42)
    (adapter / "pissa_converted").mkdir()
    (adapter / "pissa_converted" / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"use .*pissa_converted"):
        check_random_start(adapter, seed)


@pytest.mark.parametrize("start", [True, "pissa", None])
def test_an_exact_start_needs_no_seed(adapter, start):
    (adapter / "adapter_config.json").write_text(json.dumps({"init_lora_weights": start}))
    check_random_start(adapter)


def pissa(stage, model, out):
    words = ["--stage", stage, "--model_name_or_path", str(model), "--template", "llama2", "--do_train"]
    words += ["--dataset", str(DEMO), "--max_samples", "8", "--max_steps", "4", "--save_steps", "2", "--use_cpu"]
    words += ["--learning_rate", "1e-2", "--pissa_init", "true", "--pissa_iter", "4", "--pissa_convert", "true"]
    return main([*words, "--output_dir", str(out), "--report_to", "none"])


def predicted(stage, model, adapter, out, *more):
    words = ["--stage", stage, "--model_name_or_path", str(model), "--adapter_name_or_path", str(adapter)]
    words += ["--template", "llama2", "--do_predict", "--eval_dataset", str(DEMO), "--max_samples", "6", "--use_cpu"]
    assert main([*words, "--output_dir", str(out), "--report_to", "none", "--max_new_tokens", "1", *more]) == 0
    return [each.probabilities for each in read_predictions(out / "predictions.jsonl")]


@pytest.mark.parametrize("stage", ["sft", "mcq"])
def test_a_converted_adapter_has_the_records_of_its_training(stage, tiny_llama, tmp_path, capsys):
    """The adapter that messages recommend had no head's settings, no base fingerprint, no digest and no questions."""
    assert pissa(stage, tiny_llama, tmp_path / "out") == 0
    converted = tmp_path / "out" / "pissa_converted"
    capsys.readouterr()
    after = predicted(stage, tiny_llama, converted, tmp_path / "p")
    assert "6 of 6 scored questions are also in the training data" in capsys.readouterr().err
    before = predicted(stage, tiny_llama, tmp_path / "out", tmp_path / "q", "--seed", "42")
    for one, other in zip(before, after, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert max(map(max, after)) - min(map(min, after)) > 1e-3, "the training moved the scores"
    assert read_manifest(converted / "run.json").base == base_fingerprint(tiny_llama)
    weights = bytearray((converted / "adapter_model.safetensors").read_bytes())
    weights[-2] ^= 64
    (converted / "adapter_model.safetensors").write_bytes(weights)
    with pytest.raises(UserError, match=r"adapter_model\.safetensors is damaged"):
        require_intact(converted)


def command(model, out, *more):
    words = ["--stage", "mcq", "--model_name_or_path", str(model), "--do_train", "--dataset", str(DEMO), *more]
    return [*words, "--output_dir", str(out), "--template", "llama2", "--use_cpu"]


@pytest.mark.parametrize("flag", ["--pissa_init", "--shift_attn"])
def test_what_does_nothing_to_an_encoder_is_refused(flag, tiny_bert, tmp_path, capsys):
    """It trained plain LoRA, with exit status 0."""
    assert main(command(tiny_bert, tmp_path / "out", flag, "true")) == 2
    assert f"{flag} is for causal models, and does nothing to an encoder; leave it out" in capsys.readouterr().err


def test_dora_is_not_converted(tiny_llama, tmp_path, capsys):
    """The converted adapter was another model, with other scores."""
    words = ("--pissa_init", "true", "--pissa_convert", "true", "--use_dora", "true")
    assert main(command(tiny_llama, tmp_path / "out", *words)) == 2
    assert "--pissa_convert does not go with --use_dora True" in capsys.readouterr().err


def test_the_converted_adapter_of_a_replaced_training_is_set_aside(tmp_path):
    """It stayed, and a prediction with it scored the earlier model in silence."""
    (tmp_path / "pissa_converted").mkdir()
    (tmp_path / "pissa_converted" / "adapter_config.json").write_text("{}")
    set_all_aside(all_of(tmp_path))
    assert (tmp_path / "replaced-pissa_converted" / "adapter_config.json").is_file()
    assert not (tmp_path / "pissa_converted").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "mcq"])
def test_a_resumed_training_converts_all_that_was_trained(stage, tiny_llama, tmp_path, monkeypatch):
    """The initial adapter was replaced by that of the checkpoint: only the later steps were converted."""
    assert pissa(stage, tiny_llama, tmp_path / "whole") == 0
    original, steps = Trainer.training_step, []

    def stopped(*args, **kwargs):
        steps.append(1)
        if len(steps) == 4:
            raise RunError("stopped")
        return original(*args, **kwargs)

    monkeypatch.setattr(Trainer, "training_step", stopped)
    assert pissa(stage, tiny_llama, tmp_path / "resumed") == 1
    assert pissa(stage, tiny_llama, tmp_path / "resumed") == 0
    for folder in ("", "pissa_converted"):
        whole, resumed = (
            load_file(tmp_path / out / folder / "adapter_model.safetensors") for out in ("whole", "resumed")
        )
        assert whole.keys() == resumed.keys()
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)
