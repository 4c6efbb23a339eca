"""STEP2 on other models: on top of STEP1's, encoders, other families, and combinations that do not fit."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from step2 import QUICK, config, predict_command, probabilities, results, train_command
from support import forget_manifests
from transformers import AutoConfig

from llmtuner.cli.main import main
from llmtuner.data.load import read_questions
from llmtuner.mcq import load_scorer, whole
from llmtuner.mcq.trainer import McqTrainer


@pytest.fixture(scope="module")
def adapter(tiny_llama, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("step2") / "mcq checkpoint"
    assert main(train_command(tiny_llama, folder, *QUICK)) == 0
    return folder


# ---- STEP1, then STEP2


@pytest.fixture(scope="module")
def sft_adapter(tiny_llama, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("step2") / "sft_checkpoint"
    command = train_command(tiny_llama, folder, *QUICK)
    command[1] = "sft"
    assert main(command) == 0
    return folder


def test_training_continues_from_an_sft_adapter(tiny_llama, sft_adapter, tmp_path, capsys):
    """It is merged first, the fresh head is reported, and prediction finds it by itself."""
    trained, out, plain = tmp_path / "mcq", tmp_path / "out", tmp_path / "plain"
    more = ("--adapter_name_or_path", str(sft_adapter), "--do_predict", "--eval_dataset", "llmscience_sample")
    assert main(train_command(tiny_llama, trained, *QUICK, *more)) == 0
    assert "merged into the base model; a fresh linear head" in capsys.readouterr().err
    assert config(trained)["merged_adapters"] == [str(sft_adapter)]
    assert main(predict_command(tiny_llama, out, "--max_samples", "12", adapter=trained)) == 0
    assert "merged first" in capsys.readouterr().err
    torch.testing.assert_close(probabilities(out), probabilities(trained), atol=1e-5, rtol=0)
    both = f"{sft_adapter},{trained}"
    assert main(predict_command(tiny_llama, plain, "--max_samples", "12", adapter=both)) == 0
    torch.testing.assert_close(probabilities(plain), probabilities(trained), atol=1e-5, rtol=0)
    sft_adapter.rename(tmp_path / "moved")
    try:
        assert main(predict_command(tiny_llama, tmp_path / "no", adapter=trained)) == 2
        assert f"--adapter_name_or_path {sft_adapter},{trained}" in capsys.readouterr().err
    finally:
        (tmp_path / "moved").rename(sft_adapter)


def test_an_sft_adapter_has_no_head_to_predict_with(tiny_llama, sft_adapter, tmp_path, capsys):
    assert main(predict_command(tiny_llama, tmp_path / "out", adapter=sft_adapter)) == 2
    printed = capsys.readouterr().err
    assert "no trained head" in printed
    assert "--mcq_head letter" in printed
    letters = predict_command(tiny_llama, tmp_path / "out", "--mcq_head", "letter", "--template", "llama2")
    assert main([*letters, "--adapter_name_or_path", str(sft_adapter)]) == 0


# ---- encoders


@pytest.mark.parametrize("tuning", ["lora", "full", "freeze"])
def test_an_encoder_trains_and_comes_back(tuning, tiny_bert, tmp_path, capsys):
    trained, out = tmp_path / "trained", tmp_path / "out"
    more = (*QUICK, "--finetuning_type", tuning, "--do_predict", "--eval_dataset", "llmscience_sample")
    assert main(train_command(tiny_bert, trained, *more)) == 0
    printed = capsys.readouterr().err
    assert printed.count("--template llama2 is ignored") == 1
    assert (config(trained)["kind"], config(trained)["layout"]) == ("encoder", "per_option")
    model = tiny_bert if tuning == "lora" else trained
    actual = predict_command(model, out, "--max_samples", "12", adapter=trained if tuning == "lora" else None)
    assert main(actual) == 0
    torch.testing.assert_close(probabilities(out), probabilities(trained), atol=1e-5, rtol=0)
    if tuning == "lora":
        weights = load_file(trained / "adapter_model.safetensors")
        assert any("query" in name for name in weights)
        assert not any("pooler" in name for name in weights), "no score depends on it"


@pytest.mark.parametrize("tuning", ["lora", "freeze"])
def test_gradient_checkpointing_of_an_encoder_is_on_where_it_is_asked_for(
    tuning, tiny_bert, tmp_path, monkeypatch, capsys
):
    """The flag did nothing, and runs on a CPU recommended it."""
    counts = []
    original = McqTrainer.train

    def counted(trainer, *args, **kwargs):
        modules = trainer.model.modules()
        counts.append(sum(getattr(module, "gradient_checkpointing", False) for module in modules))
        return original(trainer, *args, **kwargs)

    monkeypatch.setattr(McqTrainer, "train", counted)
    more = (*QUICK, "--finetuning_type", tuning, "--max_steps", "2")
    for name, flags in (("off", ()), ("on", ("--disable_gradient_checkpointing", "false"))):
        assert main(train_command(tiny_bert, tmp_path / name, *more, *flags)) == 0
        assert "gradient checkpointing" not in capsys.readouterr().err
    assert counts[0] == 0 < counts[1]
    name = "adapter_model.safetensors" if tuning == "lora" else "model.safetensors"
    one, two = (load_file(tmp_path / each / name) for each in ("off", "on"))
    assert one.keys() == two.keys()
    assert all(torch.allclose(one[key], two[key], atol=1e-6) for key in one)


def test_flags_that_do_nothing_to_an_encoder_are_refused(tiny_bert, tmp_path, capsys):
    """--train_from_scratch trained the pretrained weights, and said nothing."""
    assert main(train_command(tiny_bert, tmp_path / "out", "--train_from_scratch", "true")) == 2
    assert "--train_from_scratch is for causal models" in capsys.readouterr().err


def test_an_encoder_predicts_in_the_type_and_attention_that_are_asked_for(tiny_bert, tmp_path, monkeypatch):
    """Both flags were dropped without a word."""
    models = []
    load = whole.load_whole
    monkeypatch.setattr(whole, "load_whole", lambda *args, **more: models.append(load(*args, **more)) or models[-1])
    trained = tmp_path / "trained"
    assert main(train_command(tiny_bert, trained, *QUICK, "--finetuning_type", "full")) == 0
    more = ("--max_samples", "3", "--infer_dtype", "bfloat16", "--flash_attn", "disabled")
    assert main(predict_command(trained, tmp_path / "out", *more)) == 0
    assert models[0].dtype == torch.float32
    assert models[1].dtype == torch.bfloat16
    assert models[1].config._attn_implementation == "eager"


# ---- other families


@pytest.fixture
def family(tiny_llama, tmp_path):
    """Make a random model of another family with the tiny tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)

    def make(name: str, **shape) -> Path:
        folder = tmp_path / name
        torch.manual_seed(0)
        sizes = {"vocab_size": len(tokenizer), "hidden_size": 32, "max_position_embeddings": 1024, **shape}
        AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **sizes)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


SMALL = {"intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
FAMILIES = {
    "gpt_neox": SMALL,  # its language-model head is called embed_out, and was given an adapter
    "mistral": {**SMALL, "num_key_value_heads": 2, "sliding_window": 16},
    "qwen2": {**SMALL, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "gemma2": {**SMALL, "num_key_value_heads": 2, "head_dim": 8, "attn_logit_softcapping": 0.5},
}


@pytest.mark.parametrize("name", list(FAMILIES))
def test_families_train_and_predict_alike_in_both_layouts_and_in_python(name, family, tmp_path):
    from support import DEMO

    model = family(name, **FAMILIES[name])
    trained = tmp_path / "trained"
    assert main(train_command(model, trained, *QUICK, "--flash_attn", "sdpa")) == 0
    for layout in ("shared_prefix", "per_option"):
        assert main(predict_command(model, tmp_path / layout, "--mcq_layout", layout, adapter=trained)) == 0
    packed, single = probabilities(tmp_path / "shared_prefix"), probabilities(tmp_path / "per_option")
    torch.testing.assert_close(packed, single, atol=1e-5, rtol=0)
    actual = load_scorer(trained).score(read_questions(DEMO, purpose="predict").questions)
    torch.testing.assert_close(torch.tensor([p.probabilities for p in actual]).float(), packed, atol=1e-5, rtol=0)


@pytest.mark.parametrize("layout", ["shared_prefix", "per_option"])
def test_the_side_on_which_a_tokenizer_pads_changes_nothing(layout, tiny_llama, adapter, tmp_path):
    from transformers import AutoTokenizer

    actual = {}
    for side in ("left", "right"):
        model = shutil.copytree(tiny_llama, tmp_path / side)
        AutoTokenizer.from_pretrained(model, padding_side=side).save_pretrained(model)
        assert json.loads((model / "tokenizer_config.json").read_text())["padding_side"] == side
        more = ("--mcq_layout", layout, "--per_device_eval_batch_size", "4")
        assert main(predict_command(model, tmp_path / f"{side} out", *more, adapter=adapter)) == 0
        actual[side] = probabilities(tmp_path / f"{side} out")
    assert torch.equal(actual["left"], actual["right"])


# ---- models and heads that do not fit


def test_a_template_of_another_vocabulary_is_refused(tiny_llama, tmp_path, capsys):
    command = [word if word != "llama2" else "qwen" for word in train_command(tiny_llama, tmp_path / "out", *QUICK)]
    assert main(command) == 2
    assert "add --resize_vocab true" in capsys.readouterr().err
    assert main([*command, "--resize_vocab", "true"]) == 0


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_a_checkpoint_without_its_head_is_not_resumed(tuning, tiny_llama, tmp_path, capsys):
    """transformers only warns about missing weights: the run continued with a fresh head."""
    from safetensors.torch import save_file

    out = tmp_path / "out"
    command = train_command(tiny_llama, out, *QUICK, "--finetuning_type", tuning, "--save_steps", "3")
    assert main([*command, "--max_steps", "3"]) == 0
    path = out / "checkpoint-3" / ("adapter_model.safetensors" if tuning == "lora" else "model.safetensors")
    without_head = {name: tensor for name, tensor in load_file(path).items() if "mcq_head" not in name}
    save_file(without_head, path, metadata={"format": "pt"})
    assert main([*command, "--resume_from_checkpoint", str(out / "checkpoint-3")]) == 2
    assert "not a complete checkpoint" in capsys.readouterr().err
    forget_manifests(path.parent)
    forget_manifests(out)
    more = ("--resume_from_checkpoint", str(path.parent), "--max_steps", "6")
    assert main([*command, *more]) == 2
    assert "but the weights have none" in capsys.readouterr().err


def test_a_model_that_cannot_share_a_prefix_is_reported_and_trained(family, tmp_path, capsys):
    family("bloom", n_layer=2, n_head=4)
    out = tmp_path / "out"
    more = (*QUICK, "--do_predict", "--eval_dataset", "llmscience_sample")
    assert main(train_command(tmp_path / "bloom", out, *more)) == 0
    assert "per_option, because bloom cannot take shared_prefix" in capsys.readouterr().err
    assert results(out)["mcq_layout"] == config(out)["layout"] == "per_option"
    asked = train_command(tmp_path / "bloom", tmp_path / "no", *QUICK, "--mcq_layout", "shared_prefix")
    assert main(asked) == 2
    assert "bloom cannot take it" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_a_head_that_is_missing_or_of_another_shape_is_no_fresh_one(tiny_llama, adapter, tmp_path, capsys):

    from safetensors.torch import save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    for name, change, message in (
        ("missing", lambda key, tensor: None if "mcq_head" in key else tensor, "but the weights have none"),
        ("other", lambda key, tensor: tensor[:, :7].clone() if "mcq_score.weight" in key else tensor, "(1, 7)"),
    ):
        broken = tmp_path / name
        shutil.copytree(adapter, broken)
        forget_manifests(broken)
        changed = {key: actual for key, tensor in weights.items() if (actual := change(key, tensor)) is not None}
        save_file(changed, broken / "adapter_model.safetensors", metadata={"format": "pt"})
        assert main(predict_command(tiny_llama, tmp_path / "out", adapter=broken)) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_a_head_without_settings_is_not_replaced_by_a_fresh_one(tuning, tiny_llama, tmp_path, capsys):
    trained = tmp_path / "trained"
    assert main(train_command(tiny_llama, trained, *QUICK, "--finetuning_type", tuning)) == 0
    assert "parameters, fresh" in capsys.readouterr().err
    (trained / "mcq_config.json").unlink()
    model = trained if tuning == "full" else tiny_llama
    more = ["--adapter_name_or_path", str(trained)] if tuning == "lora" else []
    assert main(train_command(model, tmp_path / "again", *QUICK, "--finetuning_type", tuning, *more)) == 2
    assert "have a trained head, and mcq_config.json" in capsys.readouterr().err


def test_an_adapter_of_another_base_model_is_refused(adapter, tmp_path, capsys):
    from support import DEMO, load_script

    another_base = load_script("make_tiny_llama").make_tiny_llama(
        tmp_path / "other", [DEMO], hidden_size=32, num_layers=2, vocab_size=1000, seed=0
    )
    assert main(predict_command(another_base, tmp_path / "out", "--allow_other_base", adapter=adapter)) == 2
    assert "another base model: hidden_size 64, and this one has 32" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_stops_the_run(tiny_llama, tmp_path, capsys):
    out = tmp_path / "out"
    more = ("--finetuning_type", "full", "--learning_rate", "1e30", "--max_samples", "16", "--save_steps", "1")
    assert main(train_command(tiny_llama, out, *more, "--max_grad_norm", "0")) == 1
    printed = capsys.readouterr().err
    assert re.search(r"became NaN or Inf at step \d+, in the batch of .*questions\.jsonl:\d+ \(id demo-\d+\)", printed)
    assert (out / "checkpoint-1").is_dir(), "what was saved before stays"
    assert not (out / "model.safetensors").exists()
