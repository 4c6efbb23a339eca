"""Weights that do not belong together, through the command line: status 2, names, no traceback, in both stages."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from step2 import config, lines, predict_command, train_command
from support import forget_manifests, load_script

from llmtuner.cli.main import main
from llmtuner.data import read_questions
from llmtuner.errors import UserError
from llmtuner.mcq.scorer import load_scorer
from llmtuner.runs.manifest import RUN_MANIFEST, Manifest, write_manifest

merge = load_script("merge")
SHORT = ("--max_samples", "8", "--max_steps", "2", "--learning_rate", "1e-2", "--save_strategy", "no")
TOKENS = ("--add_tokens", "kJ/mol,the", "--resize_vocab")
LACKING = "model.layers.1.mlp.up_proj.weight"


def sft(words):
    """A command of stage mcq as one of stage sft."""
    return ["sft" if word == "mcq" else word for word in words]


def copy_with(model, folder, change):
    """A copy of a model with other tensors; `change` returns None for a tensor that is left out."""
    shutil.copytree(model, folder)
    tensors = {name: change(name, tensor) for name, tensor in load_file(model / "model.safetensors").items()}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def refused(words, capsys, *, status=2):
    assert main([*map(str, words)]) == status
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


@pytest.fixture(scope="module")
def grown(tiny_llama, tmp_path_factory):
    """An adapter of stage mcq with added tokens, trained from a folder in which the model's path is relative."""
    out = tmp_path_factory.mktemp("grown") / "adapter"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tiny_llama.parent)
        assert main(train_command(tiny_llama.name, out, *SHORT, *TOKENS)) == 0
    return out


@pytest.fixture(scope="module")
def predicted(grown, tiny_llama):
    """Its predictions, with the flags of the training."""
    out = grown.parent / "with flags"
    assert main(predict_command(tiny_llama, out, "--max_samples", "8", *TOKENS, adapter=grown)) == 0
    return lines(out)


def test_a_training_stores_its_tokens_and_an_absolute_base(grown, tiny_llama):
    """From another working directory, the base model's folder became a name on the hub."""
    assert config(grown)["vocabulary"] == {
        "resize_vocab": True,
        "add_tokens": ["kJ/mol", "the"],
        "add_special_tokens": [],
    }
    stored = json.loads((grown / "adapter_config.json").read_text())
    assert stored["base_model_name_or_path"] == str(tiny_llama)


def test_a_prediction_needs_no_flags_for_added_tokens(grown, tiny_llama, predicted, tmp_path, capsys):
    """It ended in torch's "size mismatch", and so did load_scorer and merging."""
    assert main(predict_command(tiny_llama, tmp_path / "out", "--max_samples", "8", adapter=grown)) == 0
    assert lines(tmp_path / "out") == predicted
    assert "was trained with --resize_vocab true --add_tokens kJ/mol,the: applied" in capsys.readouterr().err
    words = predict_command(tiny_llama, tmp_path / "no", "--add_tokens", "the,kJ/mol", adapter=grown)
    assert "contradicts" in refused(words, capsys)


def test_added_tokens_are_in_a_scorer_and_in_a_merged_model(grown, predicted, tmp_path):
    from support import DEMO

    expected = [line["probabilities"] for line in predicted]
    questions = read_questions(DEMO, purpose="predict").questions[: len(expected)]
    assert merge.main([str(grown), str(tmp_path / "merged")]) == 0
    for folder in (grown, tmp_path / "merged"):
        for prediction, probabilities in zip(load_scorer(folder).score(questions), expected, strict=True):
            assert prediction.probabilities == pytest.approx(tuple(probabilities.values()), abs=1e-5)
    assert config(tmp_path / "merged")["vocabulary"] == {}


def test_a_whole_model_with_added_tokens_is_no_other_base(tiny_llama, tmp_path):
    """It was refused for its own vocabulary: 1,024 rows, and not the base model's 1,000."""
    out = tmp_path / "whole"
    assert main(train_command(tiny_llama, out, *SHORT, *TOKENS, "--finetuning_type", "full")) == 0
    assert main(predict_command(out, tmp_path / "out", "--max_samples", "2")) == 0
    load_scorer(out)


def test_a_scorer_refuses_another_base(grown, tiny_llama, tmp_path):
    trained = tmp_path / "trained"
    shutil.copytree(grown, trained)
    other = copy_with(tiny_llama, tmp_path / "other", lambda _, tensor: tensor + 1)
    write_manifest(Manifest(stage="mcq", step=1, max_steps=1, epoch=1.0, base="0" * 64), trained / RUN_MANIFEST)
    with pytest.raises(UserError, match="another base model"):
        load_scorer(trained, base_model=str(other))
    assert load_scorer(trained, base_model=str(other), allow_other_base=True)
    with pytest.raises(UserError, match=r"base_model .*nowhere: no such folder"):
        load_scorer(trained, base_model=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("stage", ["sft", "mcq"])
@pytest.mark.parametrize("command", [train_command, predict_command])
def test_a_base_that_lacks_weights_is_neither_trained_nor_scored(stage, command, tiny_llama, tmp_path, capsys):
    """They were random, and a line in the log was all."""
    model = copy_with(tiny_llama, tmp_path / "model", lambda name, tensor: None if name == LACKING else tensor)
    more = ("--mcq_head", "letter") if stage == "mcq" else ()
    words = command(model, tmp_path / "out", *more, *SHORT[:2], "--template", "llama2")
    message = refused(sft(words) if stage == "sft" else words, capsys)
    assert f"its files lack 1 weights, which would be random: {LACKING}" in message


def test_an_encoder_that_lacks_weights_is_refused(tiny_bert, tmp_path, capsys):
    lacking = "encoder.layer.1.output.dense.weight"
    model = copy_with(tiny_bert, tmp_path / "model", lambda name, tensor: None if name == lacking else tensor)
    assert lacking in refused(train_command(model, tmp_path / "out", *SHORT), capsys)


def with_nan(name, tensor):
    return torch.full_like(tensor, torch.nan) if name == LACKING else tensor


@pytest.mark.parametrize("stage", ["sft", "mcq"])
@pytest.mark.parametrize("command", [train_command, predict_command])
def test_weights_with_nan_are_named(stage, command, tiny_llama, tmp_path, capsys):
    """A lower learning rate was the advice, or torch's own words and a traceback."""
    model = copy_with(tiny_llama, tmp_path / "model", with_nan)
    more = ("--mcq_head", "letter") if (stage, command) == ("mcq", predict_command) else ()
    words = command(model, tmp_path / "out", *more, *SHORT[:4], "--template", "llama2", "--max_new_tokens", "2")
    message = refused(sft(words) if stage == "sft" else words, capsys)
    assert f"NaN or Inf, as they were loaded: {LACKING}" in message
    assert "learning_rate" not in message


@pytest.fixture(scope="module")
def written(tiny_llama, tmp_path_factory):
    """An adapter of stage sft."""
    out = tmp_path_factory.mktemp("written") / "adapter"
    assert main(sft(train_command(tiny_llama, out, *SHORT))) == 0
    return out


def test_an_adapter_that_does_not_fit_is_refused_in_stage_sft(written, tiny_llama, tmp_path, capsys):
    """peft loads what fits: an adapter that lacks a layer was scored."""
    broken = tmp_path / "broken"
    shutil.copytree(written, broken)
    forget_manifests(broken)
    weights = load_file(written / "adapter_model.safetensors")
    first_layer = {name: tensor for name, tensor in weights.items() if ".layers.1." not in name}
    save_file(first_layer, broken / "adapter_model.safetensors", metadata={"format": "pt"})
    words = sft(predict_command(tiny_llama, tmp_path / "out", "--template", "llama2", adapter=broken))
    assert "lacks the LoRA weights of model.layers.1." in refused(words, capsys)


def test_an_adapter_of_stage_sft_is_merged(written, tiny_llama, tmp_path, capsys):
    """merge_mcq.py refused it, and upstream's export cannot run here."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "merged"
    assert merge.main([str(written), str(out)]) == 0
    base = AutoModelForCausalLM.from_pretrained(tiny_llama)
    ids_BT = torch.arange(5, 45).view(2, 20)
    with torch.no_grad():
        before_BTV = base(ids_BT).logits
        expected_BTV = PeftModel.from_pretrained(base, written)(ids_BT).logits
        torch.testing.assert_close(AutoModelForCausalLM.from_pretrained(out)(ids_BT).logits, expected_BTV)
    assert (expected_BTV - before_BTV).abs().max() > 1e-3, "the adapter is in the weights"
    assert len(AutoTokenizer.from_pretrained(out)) == len(AutoTokenizer.from_pretrained(written))
    assert not (out / "mcq_config.json").exists()
    assert not (out / "adapter_config.json").exists()
    assert merge.main([str(written), str(out)]) == 2
    assert "not an empty folder" in capsys.readouterr().err


def test_an_adapter_on_top_of_another_is_merged_with_it(written, tiny_llama, tmp_path):
    """Alone on the base model it gives other logits."""
    from transformers import AutoModelForCausalLM

    top = tmp_path / "top"
    shutil.copytree(written, top)
    settings = {"adapter_name_or_path": [str(written)], "create_new_adapter": True}
    write_manifest(Manifest(stage="sft", step=1, max_steps=1, epoch=1.0, settings=settings), top / RUN_MANIFEST)
    assert merge.main([str(top), str(tmp_path / "both")]) == 0
    assert merge.main([str(written), str(tmp_path / "one")]) == 0
    name = "model.layers.0.self_attn.q_proj.weight"
    base, one, both = (
        AutoModelForCausalLM.from_pretrained(folder).get_parameter(name)
        for folder in (tiny_llama, tmp_path / "one", tmp_path / "both")
    )
    torch.testing.assert_close(both - base, 2 * (one - base), atol=1e-6, rtol=1e-3)


def test_a_merge_that_fails_leaves_nothing(written, tmp_path, monkeypatch):
    from safetensors import SafetensorError
    from transformers import PreTrainedModel

    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full)
    assert merge.main([str(written), str(tmp_path / "merged")]) == 2
    assert not list(tmp_path.iterdir())


def test_a_base_that_is_gone_is_named_and_no_hub_is_asked(written, tmp_path, capsys):
    moved = tmp_path / "moved"
    shutil.copytree(written, moved)
    (moved / RUN_MANIFEST).unlink()  # as an earlier version left it, which stored relative paths
    stored = json.loads((moved / "adapter_config.json").read_text())
    (moved / "adapter_config.json").write_text(json.dumps({**stored, "base_model_name_or_path": "models/gone"}))
    assert merge.main([str(moved), str(tmp_path / "merged")]) == 2
    message = capsys.readouterr().err
    assert "its base model was the local folder models/gone, which is not there; pass --base_model" in message
