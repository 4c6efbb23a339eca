"""Models and adapters that cannot be used: both stages say so with the file or flag, before anything is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import byte_level, write_adapter, write_weights

from llmtuner.cli.main import main

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 13476839424\n"
INDEX = "model.safetensors.index.json"


def changed(**values) -> Callable[[Path], None]:
    """Change keys of config.json; None removes one."""

    def damage(model: Path) -> None:
        config = json.loads((model / "config.json").read_text()) | values
        (model / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))

    return damage


def written(name: str, content: str | bytes) -> Callable[[Path], None]:
    def damage(model: Path) -> None:
        (model / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def cut(name: str, share: float) -> Callable[[Path], None]:
    def damage(model: Path) -> None:
        content = (model / name).read_bytes()
        (model / name).write_bytes(content[: int(len(content) * share)])

    return damage


def split(missing: bool = False, wrong: bool = False) -> Callable[[Path], None]:
    """Weights in two files, of which one is missing, or lacks a tensor that the index names."""

    def damage(model: Path) -> None:
        (model / "model.safetensors").unlink()
        write_weights(model / "model-00001-of-00002.safetensors", first=(2, 3))
        if not missing:
            write_weights(model / "model-00002-of-00002.safetensors", **{"other" if wrong else "second": (2,)})
        places = {"first": "model-00001-of-00002.safetensors", "second": "model-00002-of-00002.safetensors"}
        (model / INDEX).write_text(json.dumps({"weight_map": places}))

    return damage


def renamed(old: str, new: str) -> Callable[[Path], None]:
    return lambda model: (model / old).rename(model / new) and None


# What happened to the model, how, and what the message must say.
BROKEN = {
    "config: a comma too many": (written("config.json", '{\n"model_type": "llama",\n}'), ["config.json:3", "not JSON"]),
    "config: empty": (written("config.json", ""), ["config.json", "it is empty"]),
    "config: a list": (written("config.json", "[]"), ["config.json", "expected an object, found list"]),
    "config: a pointer": (written("config.json", POINTER), ["config.json", "Git LFS pointer"]),
    "config: not UTF-8": (written("config.json", b'{"model_type": "\xff"}'), ["config.json", "not UTF-8"]),
    "config: nested": (written("config.json", "[" * 100_000), ["config.json", "nested too deeply"]),
    "config: no type": (changed(model_type=None), ["config.json", "no model_type"]),
    "config: a type that is a number": (changed(model_type=3), ["config.json", "no model_type"]),
    "an adapter beside it": (written("adapter_config.json", "{}"), ["adapter_config.json", "move the adapter's files"]),
    "an unknown type": (changed(model_type="llama9"), ["config.json", "unknown model type 'llama9'"]),
    "its own code": (
        changed(model_type="strange", auto_map={"AutoConfig": "x.Y"}),
        ["config.json", "'strange' comes with code of its own", "--trust_remote_code"],
    ),
    "encoder-decoder": (
        changed(model_type="t5", is_encoder_decoder=True),
        ["config.json", "'t5' has encoder and decoder"],
    ),
    "tokenizer: cut": (cut("tokenizer.json", 0.5), ["tokenizer.json", "damaged"]),
    "tokenizer: no vocabulary": (written("tokenizer.json", "{}"), ["tokenizer.json", "no vocabulary"]),
    "tokenizer's settings": (written("tokenizer_config.json", '{"a": '), ["tokenizer_config.json:1", "not JSON"]),
    "generation's settings": (written("generation_config.json", "{,}"), ["generation_config.json:1", "not JSON"]),
    "weights: cut": (cut("model.safetensors", 0.5), ["model.safetensors", "cut off"]),
    "weights: empty": (written("model.safetensors", b""), ["model.safetensors", "cut off"]),
    "weights: a pointer": (written("model.safetensors", POINTER), ["model.safetensors", "git lfs pull"]),
    "weights: a web page": (
        written("model.safetensors", "<!DOCTYPE html><html></html>"),
        ["model.safetensors", "no safetensors file"],
    ),
    "weights: another name": (
        renamed("model.safetensors", "model-00001-of-00002.safetensors"),
        ["expected model.safetensors or model.safetensors.index.json", "only model-00001-of-00002.safetensors"],
    ),
    "split: a file is missing": (split(missing=True), ["model-00002-of-00002.safetensors: not found", INDEX]),
    "split: a tensor is missing": (split(wrong=True), ["model-00002-of-00002.safetensors: it has no second", INDEX]),
    "split: the index is cut": (
        lambda model: [split()(model), cut(INDEX, 0.5)(model)][0],
        [INDEX, "not JSON"],
    ),
    "split: the index leads out": (
        lambda model: [split()(model), written(INDEX, '{"weight_map": {"a": "../x.safetensors"}}')(model)][0],
        [INDEX, "outside its folder"],
    ),
}


@pytest.fixture
def model(tiny_llama, tmp_path) -> Path:
    """A copy of the tiny Llama to break."""
    return Path(shutil.copytree(tiny_llama, tmp_path / "model"))


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    """Run a training that must be refused before torch's part begins; return the message."""
    monkeypatch.setattr("llmtuner.cli.main.launch_if_several_devices", lambda *_: pytest.fail("nothing was refused"))

    def run(stage: str, model: Path | str, *more: str, do: str = "--do_train") -> str:
        words = ["--stage", stage, "--model_name_or_path", str(model), do, "--template", "llama2"]
        words += ["--dataset" if do == "--do_train" else "--eval_dataset", "llmscience_sample"]
        assert main([*words, "--output_dir", str(tmp_path / "out"), *more]) == 2
        message = capsys.readouterr().err
        assert message.count("error: ") == 1
        assert "Traceback" not in message
        assert not (tmp_path / "out").exists(), "nothing is written"
        return message

    return run


@pytest.mark.parametrize("stage", ["sft", "mcq"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_is_named_before_it_is_loaded(name, stage, model, refused):
    """These ended in a traceback, in torch's own words, or in "not reachable on the hub"."""
    damage, parts = BROKEN[name]
    damage(model)
    message = refused(stage, model)
    for part in parts:
        assert part in message


@pytest.mark.parametrize("stage", ["sft", "mcq"])
@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (written("adapter_config.json", '{"r": 8,'), ["adapter_config.json:1", "not JSON"]),
        (written("adapter_config.json", '{"base_model_name_or_path": "x"}'), ["adapter_config.json", "no peft_type"]),
        (
            written("adapter_config.json", '{"peft_type": "LORA"}'),
            ["adapter_config.json", "no base_model_name_or_path"],
        ),
        (cut("adapter_model.safetensors", 0.9), ["adapter_model.safetensors", "cut off"]),
        (written("adapter_model.safetensors", POINTER), ["adapter_model.safetensors", "git lfs pull"]),
        (renamed("adapter_model.safetensors", "model.safetensors"), ["expected adapter_model.safetensors"]),
    ],
    ids=["not JSON", "no kind", "no base", "cut", "pointer", "another name"],
)
def test_a_broken_adapter_is_named_before_it_is_loaded(damage, parts, stage, tiny_llama, tmp_path, refused):
    adapter = write_adapter(tmp_path / "adapter")
    damage(adapter)
    message = refused(stage, tiny_llama, "--adapter_name_or_path", str(adapter))
    for part in parts:
        assert part in message


@pytest.mark.parametrize("kind", ["bert", "roberta", "deberta-v2", "modernbert"])
def test_an_encoder_writes_no_text(kind, model, refused):
    """Stage sft trained RoBERTa as if it were causal, and BERT failed with "index out of range in self"."""
    changed(model_type=kind)(model)
    message = refused("sft", model)
    assert f"model type '{kind}' is an encoder" in message
    assert "use --stage mcq" in message


@pytest.mark.parametrize("stage", ["sft", "mcq"])
def test_a_lora_target_that_the_model_lacks_is_refused_with_those_it_has(stage, tiny_llama, refused):
    """peft names the flag of its own interface, and passes over a name in silence if another one fits."""
    message = refused(stage, tiny_llama, "--lora_target", "q_proj,v_porj")
    assert "--lora_target v_porj: the model has no such module" in message
    assert (
        "choose from: all, down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj. Did you mean v_proj?"
        in message
    )


@pytest.mark.parametrize("stage", ["sft", "mcq"])
def test_an_adapter_in_the_output_layer_is_refused(stage, tiny_llama, refused):
    """The training ended with status 0, and its adapter could never be used."""
    message = refused(stage, tiny_llama, "--lora_target", "q_proj,lm_head")
    assert "--lora_target lm_head: an adapter in the output layer cannot be loaded again; choose from: all" in message


@pytest.mark.parametrize("stage", ["sft", "mcq"])
def test_a_module_where_lora_has_no_effect_is_refused(stage, model, refused):
    changed(model_type="mamba")(model)
    write_weights(
        model / "model.safetensors", **{"layers.0.in_proj.weight": (4, 4), "layers.0.out_proj.weight": (4, 4)}
    )
    message = refused(stage, model, "--lora_target", "out_proj")
    assert "--lora_target out_proj: an adapter there has no effect in this model; choose from: all, in_proj" in message


@pytest.mark.parametrize("stage", ["sft", "mcq"])
def test_a_name_on_the_hub_without_a_network_is_refused_at_once(stage, tmp_path, refused, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = refused(stage, "somebody/model", "--cache_dir", str(tmp_path / "cache"))
    assert "--model_name_or_path somebody/model: no such folder, and not in the cache" in message


@pytest.mark.parametrize("stage", ["sft", "mcq"])
@pytest.mark.parametrize(
    ("flag", "name", "part"),
    [
        ("output_dir", "", "the name is empty"),
        ("output_dir", " ", "the name is empty"),
        ("output_dir", "a\0b", r"'a\x00b': a NUL character"),
        ("output_dir", "a" * 256, "has 256 bytes"),
        ("output_dir", "é" * 128, "has 256 bytes"),
        ("output_dir", "a/" * 2000, "the path has 4000 bytes"),
        ("output_dir", "\udce9t\udce9", "the name is not UTF-8"),
        ("model_name_or_path", "a" * 256, "has 256 bytes"),
        ("model_name_or_path", "", "the name is empty"),
        ("dataset", "a" * 256, "has 256 bytes"),
        ("dataset", "a\0.csv", "a NUL character"),
        ("dataset_dir", "a" * 256, "has 256 bytes"),
        ("adapter_name_or_path", "a" * 256, "has 256 bytes"),
        ("adapter_name_or_path", "", "the name is empty"),
        ("resume_from_checkpoint", "a" * 256, "has 256 bytes"),
    ],
)
def test_names_that_no_file_can_have(flag, name, part, stage, tiny_llama, refused):
    """They ended in tracebacks of the first function that looked, and an empty --output_dir wrote into the folder."""
    message = refused(stage, tiny_llama, f"--{flag}", name)
    assert f"--{flag}" in message
    assert part in message


def test_an_output_folder_that_is_a_file(tiny_llama, tmp_path, refused):
    (tmp_path / "file").write_text("mine")
    message = refused("sft", tiny_llama, "--output_dir", str(tmp_path / "file"))
    assert "file: cannot write to it: it is a file; name a folder" in message


@pytest.mark.parametrize(
    ("stage", "load"), [("sft", "llamafactory.train.sft.workflow.load_model"), ("mcq", "patches.option_head.attach")]
)
class TestWhatTheTokenizerTells:
    """Checks that need the tokenizer and the data, but not the model."""

    @pytest.fixture
    def start(self, stage, load, tmp_path, capsys, monkeypatch):
        import patches

        patches.install()
        import patches.mcq_stage.encoder  # or it would bind the function below for good

        monkeypatch.setattr(load, lambda *_, **__: pytest.fail("a model was loaded"))

        def run(model: Path, *more: str) -> str:
            words = ["--stage", stage, "--model_name_or_path", str(model), "--do_train", "--max_steps", "1"]
            words += ["--dataset", "llmscience_sample", "--output_dir", str(tmp_path / "out"), *more]
            assert main(words) == 2
            message = capsys.readouterr().err
            assert "Traceback" not in message
            return message

        return run

    def test_a_template_without_embeddings(self, start, tiny_llama):
        """Stage sft died with "index out of range in self", after the model had been loaded."""
        message = start(tiny_llama, "--template", "llama3")
        assert "--template llama3 uses token 1000, and this model has embeddings for 1000 tokens" in message
        assert "--resize_vocab true" in message

    def test_a_model_of_pictures(self, start, model):
        """transformers lists 150 classes of configurations."""
        changed(model_type="vit")(model)
        message = start(model, "--template", "default")
        assert f"--model_name_or_path {model}: model type 'vit' is no language model" in message

    def test_a_tokenizer_of_the_wrong_class(self, start, model):
        """Half of all tokens were unknown, training "worked", and MAP@3 fell to chance."""
        shutil.copytree(_saved(byte_level(broken=True), model.parent / "tokenizer"), model, dirs_exist_ok=True)
        message = start(model, "--template", "default")
        assert "of the tokens are unknown" in message
        assert message.count("is read as") == 3
        assert "pass --allow_unknown_tokens" in message


def _saved(tokenizer, folder: Path) -> Path:
    tokenizer.save_pretrained(folder)
    return folder


def test_a_tokenizer_that_is_allowed_trains(model, tmp_path, capsys):
    """The flag turns the refusal into a warning."""
    shutil.copytree(_saved(byte_level(broken=True), tmp_path / "tokenizer"), model, dirs_exist_ok=True)
    words = ["--stage", "mcq", "--model_name_or_path", str(model), "--do_train", "--max_steps", "1"]
    words += ["--dataset", "llmscience_sample", "--template", "default", "--output_dir", str(tmp_path / "out")]
    assert main([*words, "--allow_unknown_tokens", "--max_samples", "4"]) == 0
    assert "of the tokens are unknown" in capsys.readouterr().err
