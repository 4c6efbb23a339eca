"""Tokens stay out of every file that a run writes."""

from __future__ import annotations

import os

import pytest
import torch

from llmtuner.cli.flags import Flags
from llmtuner.cli.hub_tokens import move_tokens
from llmtuner.cli.main import main
from llmtuner.cli.words import Words
from llmtuner.errors import UserError

SECRET = "hf_" + "plantedPlantedPlanted"


@pytest.fixture(autouse=True)
def token_of_the_test(monkeypatch):
    """The runs set it in this process."""
    monkeypatch.setenv("HF_TOKEN", "before")


def flags(**values):
    return Flags.of(Words({name: [word] for name, word in values.items()}))


@pytest.mark.parametrize("name", ["hub_token", "hf_hub_token"])
def test_a_token_moves_into_the_environment(name):
    moved = move_tokens(flags(**{name: SECRET, "stage": "mcq"}))
    assert list(moved) == ["stage"]
    assert os.environ["HF_TOKEN"] == SECRET


def test_without_a_token_the_environment_stays():
    assert list(move_tokens(flags(stage="mcq"))) == ["stage"]
    assert os.environ["HF_TOKEN"] == "before"


def test_two_tokens_are_refused_and_not_printed():
    assert list(move_tokens(flags(hub_token=SECRET, hf_hub_token=SECRET))) == []
    with pytest.raises(UserError) as refusal:
        move_tokens(flags(hub_token=SECRET, hf_hub_token="hf_other"))
    assert "--hub_token and --hf_hub_token are different tokens" in str(refusal.value)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("stage", ["sft", "mcq"])
def test_no_file_of_a_training_has_the_token(tiny_llama, tmp_path, stage):
    """training_args.bin had it, in the output folder and in every checkpoint, and went to the hub with the model."""
    config = tmp_path / "train.yaml"
    config.write_text(f"hf_hub_token: {SECRET}\n")
    out = tmp_path / "out"
    command = [str(config), "--hub_token", SECRET, "--stage", stage, "--model_name_or_path", str(tiny_llama)]
    command += ["--do_train", "--dataset", "llmscience_sample", "--template", "llama2", "--output_dir", str(out)]
    command += ["--max_samples", "2", "--max_steps", "1", "--save_steps", "1", "--report_to", "none"]
    assert main(command) == 0
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {"training_args.bin", "trainer_state.json"} <= {path.name for path in files}
    leaks = [path for path in files if SECRET.encode() in path.read_bytes()]
    assert leaks == []
    # The archive is not compressed, so that the search above finds a token in it.
    torch.save({"hub_token": SECRET}, tmp_path / "training_args.bin")
    assert SECRET.encode() in (tmp_path / "training_args.bin").read_bytes()
