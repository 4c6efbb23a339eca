"""scripts/merge_mcq.py: base model, adapter and head in one folder, and nothing is lost."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import ROOT, load_script
from transformers import AutoModel, AutoModelForCausalLM

from llmtuner.cli.main import main
from llmtuner.errors import UserError
from llmtuner.mcq.merge import merge
from llmtuner.mcq.model import backbone_of
from llmtuner.mcq.scorer import load_scorer
from llmtuner.runs.intact import require_intact
from llmtuner.runs.places import training_of
from llmtuner.runs.trained import read_trained

merge_mcq = load_script("merge_mcq")
HEAD = "mcq_head."


def train(model, output_dir, *more: str, stage: str = "mcq") -> Path:
    words = [
        *("--stage", stage, "--model_name_or_path", str(model), "--do_train", "--dataset", "llmscience_sample"),
        *("--template", "llama2", "--finetuning_type", "lora", "--output_dir", str(output_dir), "--max_samples", "8"),
        *("--max_steps", "2", "--learning_rate", "5e-2", "--report_to", "none", "--save_strategy", "no", *more),
    ]
    assert main(words) == 0
    return output_dir


def probabilities(output_dir, *model: str) -> list[float]:
    words = [
        *("--stage", "mcq", "--do_predict", "--eval_dataset", "llmscience_sample", "--template", "llama2"),
        *("--output_dir", str(output_dir), "--max_samples", "12", "--report_to", "none", *map(str, model)),
    ]
    assert main(words) == 0
    lines = (output_dir / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [p for line in lines for p in json.loads(line)["probabilities"].values()]


@pytest.fixture(scope="module")
def adapter(tiny_llama, tmp_path_factory) -> Path:
    return train(tiny_llama, tmp_path_factory.mktemp("merge") / "an adapter")


@pytest.fixture(scope="module")
def merged(adapter) -> Path:
    out = adapter.parent / "merged"
    assert merge_mcq.main([str(adapter), str(out)]) == 0
    return out


def test_the_merged_model_predicts_what_base_and_adapter_predict(tiny_llama, adapter, merged, tmp_path):
    """Guards against a merge that leaves the adapter or the trained head out: then all scores are chance."""
    with_adapter = probabilities(
        tmp_path / "1",
        "--model_name_or_path",
        tiny_llama,
        "--adapter_name_or_path",
        adapter,
        "--finetuning_type",
        "lora",
    )
    assert max(with_adapter) - min(with_adapter) > 0.05, "the training moved the scores, or nothing is shown here"
    assert probabilities(tmp_path / "2", "--model_name_or_path", merged) == pytest.approx(with_adapter, abs=1e-5)


@pytest.mark.parametrize("stage", ["mcq", "sft"])
def test_a_merged_model_knows_what_it_was_trained_on(tiny_llama, tmp_path, stage):
    """Its most frequent place was that of the scored questions, and scored training questions had no warning."""
    adapter = train(tiny_llama, tmp_path / "adapter", stage=stage)
    merge(adapter, tmp_path / "out")
    before, after = training_of([adapter]), training_of([tmp_path / "out"])
    assert before is not None
    assert after is not None
    assert (after.settings, after.answer_places) == (before.settings, before.answer_places)
    assert sum(after.answer_places.values()) == len(read_trained([tmp_path / "out"]).lines) == 8
    assert (after.retrieve, after.adapters) == (None, ()), "these are of the adapter alone"
    assert {"model.safetensors", "config.json", "trained_questions.txt"} <= after.files.keys()


def test_files_of_an_adapter_that_were_changed_are_said(tiny_llama, tmp_path, caplog):
    """In stage sft the merge was silent, and its new digests vouched for a file that was lost."""
    adapter = train(tiny_llama, tmp_path / "adapter", stage="sft")
    (adapter / "trained_questions.txt").unlink()
    logging.getLogger("llmtuner").addHandler(caplog.handler)  # the command line's logger does not propagate
    merge(adapter, tmp_path / "out")
    logging.getLogger("llmtuner").removeHandler(caplog.handler)
    assert f"{adapter / 'trained_questions.txt'}: not the file that was saved" in caplog.text
    assert not (tmp_path / "out" / "trained_questions.txt").exists()


def test_weights_that_are_not_those_of_the_merge_are_refused(merged, tmp_path):
    """A flipped bit, or the weights of another merge, were scored with the baselines of this training."""
    assert require_intact(merged) == ()
    copy = shutil.copytree(merged, tmp_path / "copy")
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-2] ^= 64
    (copy / "model.safetensors").write_bytes(weights)
    with pytest.raises(UserError, match=r"model\.safetensors .*copy the folder again"):
        require_intact(copy)


def test_plain_transformers_loads_the_backbone(tiny_llama, adapter, merged):
    plain = AutoModel.from_pretrained(merged).eval()
    ours = backbone_of(load_scorer(adapter).model)
    ids_BT = torch.arange(5, 45).view(2, 20)
    with torch.no_grad():
        states_BTD = plain(ids_BT).last_hidden_state
        torch.testing.assert_close(states_BTD, ours(ids_BT).last_hidden_state, rtol=0, atol=1e-5)
        before_BTD = AutoModel.from_pretrained(tiny_llama)(ids_BT).last_hidden_state
    assert (states_BTD - before_BTD).abs().max() > 1e-3, "the adapter is in the weights"


def test_the_language_model_head_is_the_original_one(tiny_llama, merged):
    """It is set aside while the head over options is attached, and must be back in the file, unchanged."""
    lm_head = AutoModelForCausalLM.from_pretrained(merged).lm_head.weight
    assert torch.equal(lm_head, AutoModelForCausalLM.from_pretrained(tiny_llama).lm_head.weight)


def test_training_continues_from_the_merged_model(merged, tmp_path):
    """With its trained head, not with a fresh one."""
    folder = train(merged, tmp_path / "on", "--learning_rate", "1e-30")
    went_on = load_file(folder / "adapter_model.safetensors")
    stored = load_file(merged / "model.safetensors")
    heads = {name.split(HEAD)[1]: tensor for name, tensor in went_on.items() if HEAD in name}
    assert heads
    for name, tensor in heads.items():
        torch.testing.assert_close(tensor, stored[HEAD + name])


def test_the_base_model_keeps_its_type_and_may_have_moved(tiny_llama, adapter, tmp_path):
    base, out = tmp_path / "moved", tmp_path / "out"
    shutil.copytree(tiny_llama, base)
    AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.bfloat16).save_pretrained(base)
    assert merge_mcq.main([str(adapter), str(out), "--base_model", str(base), "--allow_other_base"]) == 0
    types = {HEAD in name: tensor.dtype for name, tensor in load_file(out / "model.safetensors").items()}
    assert types == {True: torch.float32, False: torch.bfloat16}, "the head's scores are fp32 in any case"
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"


def test_adapters_below_the_head_are_merged_too(tiny_llama, tmp_path):
    """An adapter of stage sft with a head trained on top: all three are in the weights, and no path to it remains."""
    first = train(tiny_llama, tmp_path / "sft", stage="sft")
    second = train(tiny_llama, tmp_path / "mcq", "--adapter_name_or_path", str(first))
    assert json.loads((second / "mcq_config.json").read_text())["merged_adapters"] == [str(first)]
    out = tmp_path / "out"
    assert merge_mcq.main([str(second), str(out)]) == 0
    assert json.loads((out / "mcq_config.json").read_text())["merged_adapters"] == []
    expected = probabilities(
        *(tmp_path / "1", "--model_name_or_path", tiny_llama, "--finetuning_type", "lora"),
        *("--adapter_name_or_path", f"{first},{second}"),
    )
    shutil.rmtree(first)
    assert probabilities(tmp_path / "2", "--model_name_or_path", out) == pytest.approx(expected, abs=1e-5)
    assert merge_mcq.main([str(second), str(tmp_path / "other")]) == 2, "without the first the second is worth nothing"


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory) -> Path:
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("models") / "bert"
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *".,?'()-", "the", "of", "which"]
    words += [f"##{letter}" for letter in letters]
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}, model_max_length=512).save_pretrained(folder)
    return folder


def test_encoders_are_merged_as_well(tiny_bert, tmp_path):
    adapter = train(tiny_bert, tmp_path / "adapter", "--cutoff_len", "256")
    out = tmp_path / "out"
    assert merge_mcq.main([str(adapter), str(out)]) == 0
    assert type(AutoModel.from_pretrained(out)).__name__ == "BertModel"
    cut = ("--cutoff_len", "256")
    expected = probabilities(
        *(tmp_path / "1", "--model_name_or_path", tiny_bert, "--adapter_name_or_path", adapter, *cut),
        *("--finetuning_type", "lora"),
    )
    assert max(expected) - min(expected) > 1e-3
    assert probabilities(tmp_path / "2", "--model_name_or_path", out, *cut) == pytest.approx(expected, abs=1e-5)


def refusal(capsys, *words) -> str:
    assert merge_mcq.main([*map(str, words)]) == 2
    return capsys.readouterr().err


def test_what_cannot_be_merged_is_refused_and_nothing_is_written(tiny_llama, adapter, merged, tmp_path, capsys):
    out = tmp_path / "out"
    assert "no adapter_config.json" in refusal(capsys, tiny_llama, out)
    assert "no such folder" in refusal(capsys, tmp_path / "nowhere", out)
    assert "nothing to merge" in refusal(capsys, merged, out)
    assert "--base_model" in refusal(capsys, adapter, out, "--base_model", tmp_path / "nowhere")
    assert not out.exists()
    before = sorted(merged.iterdir())
    assert "not an empty folder" in refusal(capsys, adapter, merged)
    assert sorted(merged.iterdir()) == before


def test_another_base_model_is_refused(adapter, tmp_path, capsys):
    """PEFT silently puts an adapter for two layers on a model with three."""
    another, out = tmp_path / "other", tmp_path / "out"
    load_script("make_tiny_llama").main([str(another), "--num_layers", "3", "--vocab_size", "1000"])
    capsys.readouterr()
    assert "num_hidden_layers 2" in refusal(capsys, adapter, out, "--base_model", another, "--allow_other_base")
    assert not out.exists()


def test_a_quantised_base_model_is_refused(tiny_llama, adapter, tmp_path, capsys):
    base = tmp_path / "base"
    shutil.copytree(tiny_llama, base)
    config = json.loads((base / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (base / "config.json").write_text(json.dumps(config))
    assert "quantised (gptq)" in refusal(capsys, adapter, tmp_path / "out", "--base_model", base)


def test_an_empty_folder_is_filled_and_no_other_is_left_beside_it(adapter, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert merge_mcq.main([str(adapter), str(out)]) == 0
    assert (out / "mcq_config.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_link_to_an_empty_folder_is_followed(adapter, tmp_path):
    """It was "Not a directory", after the model had been loaded and saved."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "merged").symlink_to(tmp_path / "disk")
    assert merge_mcq.main([str(adapter), str(tmp_path / "merged")]) == 0
    assert (tmp_path / "disk" / "model.safetensors").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "merged"]


def test_a_disk_that_is_full_at_the_tokenizer_is_a_message(adapter, tmp_path, capsys, monkeypatch):
    """It was a traceback: tokenizers raises a plain `Exception`."""

    def full(*_args, **_kwargs):
        raise Exception("No space left on device (os error 28)")

    monkeypatch.setattr("transformers.PreTrainedTokenizerBase.save_pretrained", full)
    assert "No space left on device" in refusal(capsys, adapter, tmp_path / "out")
    assert not [*tmp_path.iterdir()]


@pytest.mark.subprocess
def test_sigterm_leaves_no_half_of_a_model(tmp_path):
    """The process ended at once, and the folder of the unfinished model stayed."""
    code = f"""
import os, pathlib, runpy, signal, sys
from llmtuner.mcq import merge

def killed(run, out, *more, **flags):
    out.mkdir()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        out.rmdir()

merge.merge = killed
sys.argv = ["merge.py", "run", {str(tmp_path / "out")!r}]
runpy.run_path({str(ROOT / "scripts" / "merge.py")!r}, run_name="__main__")
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src").returncode == 143
    assert list(tmp_path.iterdir()) == []
