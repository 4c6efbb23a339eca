"""Before a model is loaded: the file that would be read, stage and base of an adapter, the tokens of its training."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from support import DEMO

from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight import flag_message
from llmtuner.cli.preflight_mcq import resolve_mcq
from llmtuner.cli.preflight_vocabulary import settle_vocabulary
from llmtuner.cli.preflight_weights import check_belonging, prompt_warnings
from llmtuner.cli.record import settings_of
from llmtuner.cli.words import Words
from llmtuner.errors import UserError
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.settings import McqSettings, write_settings
from llmtuner.runs.manifest import MERGED_TRAINING, RUN_MANIFEST, Manifest, write_manifest
from llmtuner.runs.weights import base_fingerprint

LAYER = "base_model.model.model.layers.0.self_attn.q_proj"
LETTER = {"head": "letter", "layout": "joint", "pooling": "none"}


@pytest.fixture
def model(tmp_path):
    return written(tmp_path / "model", 1.0)


def written(folder, value):
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    save_file({"weight": torch.full((8, 8), value)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def adapter(tmp_path, model):
    folder = tmp_path / "adapter"
    folder.mkdir()
    content = {"peft_type": "LORA", "r": 2, "base_model_name_or_path": str(model)}
    (folder / "adapter_config.json").write_text(json.dumps(content))
    tensors = {f"{LAYER}.lora_A.weight": torch.ones(2, 8), f"{LAYER}.lora_B.weight": torch.ones(8, 2)}
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def flags(model, *words):
    return Flags.of(Words.from_argv(["--model_name_or_path", str(model), *words]))


def manifest(folder, stage, **more):
    write_manifest(Manifest(stage=stage, step=1, max_steps=1, epoch=1.0, **more), folder / RUN_MANIFEST)


def refusal(adapter, model, *words, run=None):
    with pytest.raises(UserError) as caught:
        check_belonging(flags(model, *words), [str(adapter)], run)
    return flag_message(caught.value)


@pytest.mark.parametrize("stage", ["sft", "mcq"])
def test_an_adapter_of_another_base_is_refused_in_both_stages(stage, adapter, model, tmp_path):
    """A base of equal shape with other_model weights was scored without a word."""
    run = McqRun(model="m", settings=McqSettings()) if stage == "mcq" else None
    other_model = written(tmp_path / "other", 2.0)
    manifest(adapter, stage, base=base_fingerprint(model))
    assert check_belonging(flags(model, "--stage", stage), [str(adapter)], run) == ()
    message = refusal(adapter, other_model, "--stage", stage, run=run)
    assert "another base model" in message
    assert "--allow_other_base" in message
    check_belonging(flags(other_model, "--stage", stage, "--allow_other_base"), [str(adapter)], run)


def test_an_adapter_below_is_compared_as_well(adapter, model, tmp_path):
    other_model = written(tmp_path / "other", 2.0)
    above = tmp_path / "above"
    above.mkdir()
    for file in adapter.iterdir():
        (above / file.name).write_bytes(file.read_bytes())
    manifest(adapter, "sft", base=base_fingerprint(other_model))
    with pytest.raises(UserError, match="another base model"):
        check_belonging(flags(model), [str(adapter), str(above)], None)


@pytest.mark.parametrize("run", [None, McqRun(model="m", settings=McqSettings())], ids=["sft", "mcq"])
@pytest.mark.parametrize(
    ("settings", "below"),
    [
        ({"adapter_name_or_path": ["first"], "create_new_adapter": "true"}, "first"),
        ({"adapter_name_or_path": "first,second", "create_new_adapter": True}, "first, second"),
        ({"adapter_name_or_path": "first,second"}, "first"),
        ({"adapter_name_or_path": "first", "create_new_adapter": False}, ""),
        ({}, ""),
    ],
)
def test_an_adapter_of_stage_sft_needs_those_below_it(settings, below, run, adapter, model):
    """Alone, or with a gap in the list, it gave other letters than in its training; in stage mcq in silence."""
    manifest(adapter, "sft", settings=settings)
    names = below.split(", ") if below else []
    check_belonging(flags(model), [*names, str(adapter)], run)
    for gap in range(len(names)):
        with pytest.raises(UserError, match=f"was trained on top of {below}; pass all of them in this order"):
            check_belonging(flags(model), [*names[:gap], str(adapter)], run)
    if below:
        with pytest.raises(UserError, match=f"`adapters` {below.replace(', ', ',')},{adapter}"):
            check_belonging(flags(model), ["other", *names, str(adapter)], run)


def test_a_damaged_adapter_is_refused_before_anything_is_loaded(adapter, model):
    content = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**content, "r": 16}))
    assert "has rank 2, and adapter_config.json says 16" in refusal(adapter, model)


@pytest.mark.parametrize("told_by", ["mcq_config.json", "run.json", "tensors"])
def test_an_adapter_of_stage_mcq_is_refused_in_stage_sft(told_by, adapter, model):
    """Its head was dropped, and the text that it wrote was scored."""
    if told_by == "mcq_config.json":
        write_settings(McqSettings(), adapter)
    elif told_by == "run.json":
        manifest(adapter, "mcq")
    else:
        save_file(
            {"base_model.model.mcq_head.mcq_score.weight": torch.ones(1, 8)}, adapter / "adapter_model.safetensors"
        )
    assert "adapter of stage mcq" in refusal(adapter, model, "--do_predict")
    assert "adapter of stage mcq" in refusal(adapter, model, "--do_train")


def test_an_adapter_under_the_letter_head_is_a_plain_one(adapter, model):
    write_settings(McqSettings(**LETTER, prompt={"template": "llama2"}), adapter)
    notices = check_belonging(flags(model, "--do_predict", "--template", "llama2"), [str(adapter)], None)
    assert "letter head" in notices[0]
    assert "was trained with llama2" in refusal(adapter, model, "--do_predict", "--template", "mistral")


def test_a_whole_model_of_stage_mcq_does_not_generate_text(model):
    write_settings(McqSettings(), model)
    with pytest.raises(UserError, match="model of stage mcq"):
        check_belonging(flags(model, "--do_predict"), [], None)
    check_belonging(flags(model, "--do_train"), [], None)


def settled(adapter, *words, run=None):
    return settle_vocabulary(flags("model", *words), [str(adapter)], run)


def test_tokens_of_the_training_are_added_without_their_flags(adapter):
    """Prediction failed without --resize_vocab, and with other_model tokens it scored other_model rows."""
    stored = {"resize_vocab": True, "add_tokens": ["kJ/mol", "mol/L"], "add_special_tokens": ["<x>"]}
    write_settings(McqSettings(vocabulary=stored), adapter)
    found, _, notices = settled(adapter)
    assert found["resize_vocab"] is True or found.given["resize_vocab"].words == ("true",)
    assert found.given["add_tokens"].words == ("kJ/mol,mol/L",)
    assert found.given["add_special_tokens"].words == ("<x>",)
    assert "--add_tokens kJ/mol,mol/L" in notices[0]
    assert settled(adapter, "--resize_vocab", "--add_tokens", "kJ/mol,mol/L", "--add_special_tokens", "<x>")[2] == ()


def test_tokens_of_a_run_of_stage_sft_come_from_its_manifest(adapter):
    manifest(adapter, "sft", settings={"add_tokens": "a,b"})
    assert settled(adapter)[0].given["add_tokens"].words == ("a,b",)


@pytest.mark.parametrize("words", [("--add_tokens", "mol/L,kJ/mol"), ("--resize_vocab", "false")])
def test_other_tokens_than_the_stored_ones_are_refused(adapter, words):
    """In another order each token gets the other's row."""
    write_settings(McqSettings(vocabulary={"resize_vocab": True, "add_tokens": ["kJ/mol", "mol/L"]}), adapter)
    with pytest.raises(UserError, match=f"{words[0]} .*contradicts .*mcq_config.json"):
        settled(adapter, *words)


def test_a_training_stores_its_tokens(adapter, tmp_path):
    file = tmp_path / "tokens.yaml"
    file.write_text('"<think>": reasoning\n"<a,b>": two\n')
    run = McqRun(model="m", settings=McqSettings(), training=True)
    new = settle_vocabulary(flags("m", "--resize_vocab", "--new_special_tokens_config", str(file)), [], run)[1]
    assert new.settings.vocabulary == {
        "resize_vocab": True,
        "add_tokens": [],
        "add_special_tokens": ["<think>", "<a,b>"],
    }
    write_settings(new.settings, adapter)
    with pytest.raises(UserError, match=r"'<a,b>', which no flag can name"):
        settled(adapter)
    assert settled(adapter, "--new_special_tokens_config", str(file))[0]
    encoder = McqRun(model="m", settings=McqSettings(kind="encoder", layout="per_option", pooling="mean"))
    with pytest.raises(UserError, match="for causal models"):
        settle_vocabulary(flags("m", "--add_tokens", "a"), [], encoder)


def test_a_prediction_adds_the_tokens_of_a_file_that_a_training_read(adapter):
    """Stage sft stored the file's name, and a prediction did not look into it."""
    settings = {"resize_vocab": True, "new_special_tokens_config": {"<hint>": "a hint"}}
    write_manifest(Manifest(stage="sft", step=1, max_steps=1, epoch=1.0, settings=settings), adapter / "run.json")
    assert settled(adapter)[0].given["add_special_tokens"].words == ("<hint>",)


def test_an_adapter_does_not_count_twice(adapter, model):
    """Its change was added to the model two times, in silence."""
    again = adapter.parent / "x" / ".." / adapter.name
    (adapter.parent / "x").mkdir()
    with pytest.raises(UserError, match="named twice"):
        check_belonging(flags(model), [str(adapter), str(again)], None)


def test_another_prompt_than_that_of_the_training_is_said(adapter, model):
    """A prediction without --default_system had other scores than the one of the training, in silence."""
    settings = {"template": "llama2", "default_system": "You are X"}
    write_manifest(Manifest(stage="sft", step=1, max_steps=1, epoch=1.0, settings=settings), adapter / "run.json")
    given = ("--stage", "sft", "--template", "llama2", "--default_system", "You are X")
    assert prompt_warnings(flags(model, *given), [str(adapter)]) == ()
    (line,) = prompt_warnings(flags(model, *given[:4]), [str(adapter)])
    assert "--default_system You are X, and this run has nothing: its prompts are not" in line
    (line,) = prompt_warnings(flags(model, *given, "--template", "qwen"), [str(adapter)])
    assert "--template llama2, and this run has qwen" in line
    assert prompt_warnings(flags(model, *given, "--template", "qwen", "--do_train"), [str(adapter)]) == ()


MCQ = ("--stage", "mcq", "--do_predict", "--eval_dataset", str(DEMO))


@pytest.mark.parametrize(
    ("stored", "words", "message"),
    [
        ("You are X", (), ""),
        ("You are X", ("--default_system", "You are X"), ""),
        ("You are X", ("--default_system", "You are Y"), "--default_system You are Y: contradicts .*with You are X"),
        (None, ("--default_system", "You are Y"), "--default_system You are Y: contradicts .*trained with nothing"),
    ],
)
@pytest.mark.parametrize("stage", [MCQ, ("--stage", "mcq", "--do_train", "--dataset", str(DEMO))])
def test_another_system_text_than_that_of_the_stored_prompt_is_refused(stage, stored, words, message, adapter, model):
    """It was ignored in silence, and the run.json of a training on top named the text that was not used."""
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    write_settings(McqSettings(prompt={"template": "llama2"}), adapter)
    manifest(adapter, "mcq", settings={"default_system": stored})
    given = flags(model, "--output_dir", str(adapter.parent / "out"), *stage, *words)
    if message:
        with pytest.raises(UserError, match=message):
            resolve_mcq(given, [str(adapter)])
    else:
        assert settings_of(given, resolve_mcq(given, [str(adapter)]))["default_system"] == stored


def test_an_adapter_of_stage_mcq_without_its_manifest_is_said(adapter, model):
    """Copied without run.json, it was used on another base of equal shape, in silence."""
    run = McqRun(model=str(model), settings=McqSettings())
    assert check_belonging(flags(model), [str(adapter)], run) == ()
    write_settings(McqSettings(), adapter)
    (line,) = check_belonging(flags(model), [str(adapter)], run)
    assert f"{adapter} has no run.json: it cannot be checked that its files are whole" in line
    manifest(adapter, "mcq")
    assert check_belonging(flags(model), [str(adapter)], run) == ()


def test_a_head_of_stage_mcq_on_an_adapter_of_stage_sft_says_it_too(adapter, model):
    """The letter head on STEP1's adapter was scored under another template in silence; its own models store theirs."""
    for stage, lines in (("sft", 1), ("mcq", 0)):
        manifest = Manifest(stage=stage, step=1, max_steps=1, epoch=1.0, settings={"template": "llama2"})
        write_manifest(manifest, adapter / "run.json")
        given = ("--stage", "mcq", "--mcq_head", "letter", "--do_predict", "--template", "vicuna")
        said = prompt_warnings(flags(model, *given), [str(adapter)])
        assert len(said) == lines
        assert all("was trained with --template llama2, and this run has vicuna" in line for line in said)
        assert prompt_warnings(flags(model, *given[:-1], "llama2"), [str(adapter)]) == ()


@pytest.mark.parametrize("stage", ["sft", "mcq"])
def test_another_prompt_than_that_of_a_merged_training_is_said(stage, model):
    """A merged model was scored with another template than its adapter's, in silence."""
    settings = {"template": "llama2"}
    write_manifest(Manifest(stage=stage, step=1, max_steps=1, epoch=1.0, settings=settings), model / MERGED_TRAINING)
    (line,) = prompt_warnings(flags(model, "--stage", "sft", "--template", "vicuna"), [])
    assert f"{model} was trained with --template llama2, and this run has vicuna" in line
    assert prompt_warnings(flags(model, "--stage", "sft", "--template", "llama2"), []) == ()


def test_a_merged_letter_model_with_other_prompts_is_refused_in_stage_sft(model):
    """Its adapter was refused; merged, it was scored without its examples, in silence."""
    shots = {
        "count": 1,
        "questions": [{"id": "1", "dataset": "d", "question": "q", "options": ["a", "b"], "answer": 0}],
    }
    shots["questions"][0]["context"] = ""
    write_settings(McqSettings(**LETTER, prompt={"template": "llama2", "shots": shots}), model)
    with pytest.raises(UserError, match=r"--model_name_or_path .*: trained with other prompts .*--mcq_shots 1"):
        check_belonging(flags(model, "--stage", "sft"), [], None)
    write_settings(McqSettings(**LETTER, prompt={"template": "llama2"}), model)
    assert check_belonging(flags(model, "--stage", "sft"), [], None) == ()
