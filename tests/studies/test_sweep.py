"""The pieces of a sweep: their order, folders and commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.cli.words import Words
from llmtuner.errors import UserError
from llmtuner.runs.manifest import RUN_MANIFEST, Manifest, write_manifest
from llmtuner.studies.ended_run import RECORD
from llmtuner.studies.sweep import Piece, Sweep, read_setting

OUT = Path("out")


def piece(*words: str, **values: str) -> Piece:
    return Piece(Sweep(OUT, words, {name: (value,) for name, value in values.items()}, (3,)), values, 3)


def words_of(command) -> Words:
    return Words.from_argv(command.words)


def test_the_first_seed_of_every_combination_runs_before_the_second():
    sweep = Sweep(OUT, (), {"learning_rate": ("1e-4", "3e-4"), "mcq_head": ("linear", "duma")}, (1, 2))
    assert [each.name for each in sweep.pieces()] == [
        f"learning_rate={rate},mcq_head={head}/seed-{seed}"
        for seed in (1, 2)
        for rate in ("1e-4", "3e-4")
        for head in ("linear", "duma")
    ]


def test_folders_are_those_of_the_contract():
    assert piece(learning_rate="1e-4").folder == OUT / "learning_rate=1e-4" / "seed-3"
    assert piece().folder == OUT / "seed-3"
    assert piece(mcq_loss="ce:0.5+map3:0.5").folder == OUT / "mcq_loss=ce:0.5+map3:0.5" / "seed-3"


@given(st.text(min_size=1, max_size=30))
def test_a_value_of_any_text_stays_inside_the_sweeps_folder(value):
    folder = piece(dataset=value).folder
    assert folder.parent.parent == OUT
    assert folder.parent.name.startswith("dataset=")
    assert "/" not in folder.parent.name
    assert "," not in folder.parent.name
    assert "\0" not in folder.parent.name


@given(st.lists(st.text(st.characters(exclude_characters='\r\n\0"'), min_size=1), min_size=1, unique=True))
def test_settings_are_read_back(values):
    written = ",".join(f'"{value}"' for value in values)
    assert read_setting(f"lora_target={written}") == ("lora_target", values)


@pytest.mark.parametrize("text", ["learning_rate", "=1", "a=1,1", 'a="x"y,z', "learning_rate="])
def test_a_setting_of_another_form_is_refused(text):
    """FLAG= with nothing behind it, from an empty variable of the shell, was a sweep of no pieces, and a success."""
    with pytest.raises(UserError, match="--set"):
        read_setting(text)


def test_a_lora_piece_trains_and_then_predicts_with_its_adapter():
    job = piece(learning_rate="1e-4").job(
        Words.from_argv(["--stage", "mcq", "--do_train", "--do_predict", "--model", "m"])
    )
    train, predict = map(words_of, (command for command in job.commands))
    assert train.is_true("do_train")
    assert "do_predict" not in train
    assert "adapter_name_or_path" not in train
    assert predict.is_true("do_predict")
    assert "do_train" not in predict
    assert predict.get("adapter_name_or_path") == "out/learning_rate=1e-4/seed-3" == predict.get("output_dir")
    assert train.get("seed") == "3"
    assert train.get("learning_rate") == "1e-4"


def test_a_piece_that_trains_the_whole_model_predicts_with_it():
    given_words = Words.from_argv(
        ["--finetuning_type", "full", "--do_train", "--do_predict", "--model_name_or_path", "m"]
    )
    predict = words_of(piece().job(given_words).commands[1])
    assert predict.get("model_name_or_path") == "out/seed-3"
    assert "adapter_name_or_path" not in predict


@pytest.mark.parametrize(
    ("flags", "adapters"),
    [
        ("--stage sft --finetuning_type oft", "out/seed-3"),  # the adapter was taken for a whole model
        ("--stage sft --adapter_name_or_path a,b", "a,out/seed-3"),  # b is trained further
        ("--stage sft --adapter_name_or_path a,b --create_new_adapter", "a,b,out/seed-3"),
        ("--stage mcq --adapter_name_or_path a", "out/seed-3"),  # the adapter names what it stands on
    ],
)
def test_a_piece_on_top_of_adapters_predicts_with_all_that_are_needed(flags, adapters):
    job = piece().job(Words.from_argv([*flags.split(), "--do_train", "--do_predict"]))
    predict = words_of(job.commands[1])
    assert predict.get("adapter_name_or_path") == adapters
    assert "create_new_adapter" not in predict


def test_a_prediction_alone_is_one_command_with_the_flags_as_they_are():
    job = piece(mcq_head="letter").job(Words.from_argv(["--do_predict", "--adapter_name_or_path", "a"]))
    (predict,) = map(words_of, job.commands)
    assert predict.get("adapter_name_or_path") == "a"
    assert predict.get("mcq_head") == "letter"


@pytest.mark.parametrize("content", ["", "[]", '{"inputs": 1}', "[" * 10_000])
def test_a_damaged_record_of_a_piece_is_named(tmp_path, content):
    each = Piece(Sweep(tmp_path, (), {}, (1,)), {}, 1)
    each.folder.mkdir()
    (each.folder / RECORD).write_text(content)
    with pytest.raises(UserError, match=r"piece\.json"):
        each.stored()


@pytest.mark.parametrize("when", [["--do_eval"], ["--eval_strategy", "steps"]])
def test_a_piece_that_was_stopped_in_its_evaluation_makes_up_for_it(when, tmp_path):
    """It counted as done, and the mean of the table was that of the other seeds."""
    words = Words.from_argv(["--do_train", *when, "--eval_dataset", "e.jsonl", "--model_name_or_path", "m"])
    stopped = Piece(Sweep(tmp_path, (), {}, (1,)), {}, 1)
    stopped.folder.mkdir(parents=True)
    write_manifest(Manifest(stage="mcq", step=2, max_steps=2, epoch=1.0, versions={}), stopped.folder / RUN_MANIFEST)
    (command,) = stopped.job(words).commands
    assert words_of(command).is_true("overwrite_output_dir"), "without a checkpoint, nothing can make up for it"
    (stopped.folder / "checkpoint-2").mkdir()
    (command,) = stopped.job(words).commands
    assert "overwrite_output_dir" not in words_of(command), "the run sees that only the evaluation is missing"
    (stopped.folder / "eval_results.json").write_text("{}")
    assert not stopped.job(words).commands
