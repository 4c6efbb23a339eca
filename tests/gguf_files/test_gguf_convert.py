"""Conversion: the weights that were written, a folder that is whole or not there, and a message for the rest."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from safetensors import SafetensorError
from support import DEMO, load_script
from tiny_gguf import Tiny, tiny
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmtuner.data.load import read_questions
from llmtuner.data.tokens.coverage import check_tokenizer
from llmtuner.errors import DataError
from llmtuner.files import sha256_of_file
from llmtuner.gguf_files.convert import Origin, is_whole

QUESTIONS = read_questions(DEMO, purpose="train").questions
main = load_script("from_gguf").main


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def converted(request, tmp_path_factory):
    """A file of each kind of tokenizer, one of them quantised: the file, the folder, and the model that was written."""
    content, model = tiny(request.param, quantised=request.param == "llama")
    folder = tmp_path_factory.mktemp("a folder")
    file = content.write(folder / "tiny.gguf")
    assert main([str(file), str(folder / "out")]) == 0
    return file, folder / "out", model


def test_the_model_gives_the_logits_of_the_weights_that_were_written(converted):
    _, out, model = converted
    loaded = AutoModelForCausalLM.from_pretrained(out).eval()
    ids = torch.arange(3, 99).reshape(2, 48)
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids).logits, model(ids).logits, rtol=0, atol=1e-6)
    assert loaded.dtype == torch.float32
    assert {name: each.shape for name, each in loaded.named_parameters()} == {
        name: each.shape for name, each in model.named_parameters()
    }


def test_the_tokenizer_reads_the_questions_and_the_models_ids_are_its_own(converted):
    _, out, _ = converted
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert check_tokenizer(tokenizer, QUESTIONS) == []
    model = AutoModelForCausalLM.from_pretrained(out)
    for config in (model.config, model.generation_config):
        for role in ("bos", "eos", "pad"):
            assert getattr(config, f"{role}_token_id") == getattr(tokenizer, f"{role}_token_id"), role
    assert len(tokenizer) == model.config.vocab_size
    stored = json.loads((out / "tokenizer_config.json").read_text())
    assert stored["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert stored["add_bos_token"] == (tokenizer("a").input_ids[0] == tokenizer.bos_token_id)


def test_the_folder_says_where_it_comes_from(converted):
    file, out, _ = converted
    origin = json.loads((out / "origin.json").read_text())
    assert (origin["name"], origin["license"], origin["dtype"]) == ("tiny", "mit", "float32")
    assert (origin["file"], origin["sha256"]) == ("tiny.gguf", sha256_of_file(file))
    assert {*origin["files"], "origin.json"} == {path.name for path in out.iterdir()}
    assert "gguf" not in (out / "config.json").read_text()


@pytest.mark.parametrize("converted", ["gpt2"], indirect=True)
def test_the_tokenizer_that_transformers_makes_of_a_file_is_refused(converted):
    """It was saved as CodeLlama's: each space became the unknown token, and training seemed to work."""
    file, out, _ = converted
    wrong = file.parent / "wrong"
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(wrong)
    (wrong / "config.json").write_bytes((out / "config.json").read_bytes())
    with pytest.raises(DataError, match="of the tokens are unknown"):
        check_tokenizer(AutoTokenizer.from_pretrained(wrong), QUESTIONS)


def test_sixteen_bits_take_half_of_the_space(tmp_path):
    content, model = tiny()
    file = content.write(tmp_path / "tiny.gguf")
    assert main([str(file), str(tmp_path / "out"), "--dtype", "bfloat16"]) == 0
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert loaded.dtype == torch.bfloat16
    torch.testing.assert_close(loaded.model.embed_tokens.weight, model.model.embed_tokens.weight.to(torch.bfloat16))


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("PreTrainedModel", SafetensorError("Error while serializing: I/O error: No space left on device")),
        ("PreTrainedTokenizerBase", Exception("No space left on device (os error 28)")),  # as tokenizers raises it
    ],
)
def test_a_full_disk_is_a_message_and_leaves_nothing(tmp_path, capsys, monkeypatch, name, error):
    """It was a traceback."""

    def full(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(getattr(transformers, name), "save_pretrained", full)
    assert main([str(tiny()[0].write(tmp_path / "tiny.gguf")), str(tmp_path / "out")]) == 2
    assert f"the model cannot be written: {error}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.gguf"]


def test_the_end_of_a_turn_ends_generation_too(tmp_path):
    content, _ = tiny()
    content.values["tokenizer.ggml.eot_token_id"] = 1
    assert main([str(content.write(tmp_path / "tiny.gguf")), str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text())["eos_token_id"] == [2, 1]
    assert json.loads((tmp_path / "out" / "config.json").read_text())["eos_token_id"] == 2


STRETCHED = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 8.0}


def drop(content, name):
    del content.tensors[name]


def unknown_architecture(content):
    content.architecture = "whisper"
    content.values = {key.replace("llama.", "whisper."): value for key, value in content.values.items()}


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (unknown_architecture, "does not read the architecture whisper; choose from: "),
        (lambda c: drop(c, "blk.1.ffn_up.weight"), "lack 1 weights, which would be random: model.layers.1.mlp.up_proj"),
        (lambda c: drop(c, "token_embd.weight"), "has no tensor token_embd.weight"),
        (lambda c: c.tensors.update({"rope_freqs.weight": np.ones(8, np.float32)}), r"rope_freqs\.weight\?"),
        # Seen: the folder had the right weights, and no word about positions that Gemma 3 4B stretches eight times.
        (lambda c: c.values.update(STRETCHED), r"llama.rope.scaling.type linear\), .* does not read this"),
        (lambda c: c.values.update({**STRETCHED, "llama.rope.scaling.type": "yarn"}), r"scaling.type yarn\)"),
        (lambda c: c.values.update({"llama.rope.scale_linear": 4.0}), r"scaling.type linear\)"),
        (lambda c: c.tensors["blk.0.attn_q.weight"].fill(np.nan), "have NaN or Inf, .*model.layers.0.self_attn.q_proj"),
        (lambda c: c.values.pop("llama.attention.head_count"), "cannot read it|other shapes"),
        (lambda c: c.values.update({"llama.embedding_length": 32}), "cannot read it|other shapes"),
        (
            lambda c: c.tensors.update({"token_embd.weight": np.ones((7, 64), np.float32)}),
            "embeddings of 7 tokens and a vocabulary of 800",
        ),
        (lambda c: c.values.update({"tokenizer.ggml.pre": "new"}), "tokenizer.ggml.pre new: how"),
    ],
)
def test_what_cannot_be_converted_is_refused_and_leaves_nothing(tmp_path, capsys, break_it, message):
    content, _ = tiny()
    break_it(content)
    file = content.write(tmp_path / "tiny.gguf")
    assert main([str(file), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.rpartition("error: ")[2]
    assert error.startswith(f"{file}: ")
    assert re.search(message, error), error
    assert os.listdir(tmp_path) == ["tiny.gguf"]


def test_positions_that_are_not_stretched_may_say_so(tmp_path):
    content, _ = tiny()
    content.values |= {"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 0.0}
    assert main([str(content.write(tmp_path / "tiny.gguf")), str(tmp_path / "out")]) == 0


def without_byte(letter: str) -> Tiny:
    """A file whose tokenizer has no token for a byte."""
    content, _ = tiny()
    values = content.values
    values["tokenizer.ggml.tokens"] = [
        token if token != letter else "unreachable" for token in values["tokenizer.ggml.tokens"]
    ]
    values["tokenizer.ggml.merges"] = [merge for merge in values["tokenizer.ggml.merges"] if letter not in merge]
    return content


def test_a_tokenizer_that_cannot_read_english_is_refused(tmp_path, capsys):
    content = without_byte("Ġ")
    assert main([str(content.write(tmp_path / "tiny.gguf")), str(tmp_path / "out")]) == 2
    assert "its tokenizer cannot be rebuilt from the metadata" in capsys.readouterr().err


def test_scripts_that_the_tokenizer_does_not_know_are_a_warning(tmp_path, capsys):
    content = without_byte("æ")
    assert main([str(content.write(tmp_path / "tiny.gguf")), str(tmp_path / "out")]) == 0
    assert "warning: the tokenizer does not read all" in capsys.readouterr().err


def test_a_folder_that_is_not_empty_is_refused(tmp_path, capsys):
    file = tiny()[0].write(tmp_path / "tiny.gguf")
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years")
    for words, message in (
        ([], "is not empty; choose another folder, or pass --overwrite"),
        (["--overwrite"], "holds thesis.txt"),
    ):
        assert main([str(file), str(out), *words]) == 2
        assert message in capsys.readouterr().err
    assert main([str(file), str(out / "thesis.txt"), "--overwrite"]) == 2
    assert "is a file" in capsys.readouterr().err
    assert (out / "thesis.txt").read_text() == "years"
    assert main([str(file), str(tmp_path / "new" / "out")]) == 0
    assert sorted(os.listdir(tmp_path)) == ["new", "out", "tiny.gguf"]


def test_only_a_conversion_is_overwritten(tmp_path, capsys):
    """A trained whole model has a config.json, too, and was replaced with its checkpoints."""
    file, out = tiny()[0].write(tmp_path / "tiny.gguf"), tmp_path / "out"
    assert main([str(file), str(out)]) == 0
    (out / "model.safetensors").write_bytes(b"")
    assert main([str(file), str(out), "--overwrite"]) == 0
    assert is_whole(out)
    (out / "checkpoint-8").mkdir()
    assert main([str(file), str(out), "--overwrite"]) == 2
    assert "holds checkpoint-8" in capsys.readouterr().err
    assert (out / "checkpoint-8").is_dir()


def test_a_folder_that_lost_a_file_or_a_part_of_it_is_not_whole(converted):
    _, out, _ = converted
    assert is_whole(out)
    path = out / "config.json"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert not is_whole(out)
    path.unlink()
    assert not is_whole(out)
    path.write_bytes(content)
    assert is_whole(out)
    assert not is_whole(out.parent)


def test_what_a_folder_depends_on_is_in_its_name():
    """The cache gave the model of an older file or converter, or of another precision."""
    origin = Origin("a.gguf", "12ab", "", "", "float32")
    changed = [
        replace(origin, **{name: value}) for name, value in (("sha256", "34cd"), ("dtype", "x"), ("converter", 0))
    ]
    assert len({each.key for each in (origin, *changed)}) == 4


def test_without_the_gguf_package_the_message_has_the_command(tmp_path, capsys, monkeypatch):
    file = tiny()[0].write(tmp_path / "tiny.gguf")
    for name in ("gguf", "gguf.constants"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main([str(file), str(tmp_path / "out")]) == 2
    assert 'run: pip install "gguf==0.19.0"' in capsys.readouterr().err
