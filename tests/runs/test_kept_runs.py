"""Trainings through the command line: stopped, resumed, completed, rotated; both stages."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import time

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from support import DEMO
from transformers import Trainer

from llmtuner.cli.main import main
from llmtuner.errors import UserError
from llmtuner.mcq import load_scorer
from llmtuner.mcq.merge import merge
from llmtuner.mcq.trainer import McqTrainer
from llmtuner.runs.checkpoints import find_checkpoints, finished_run
from llmtuner.runs.lock import locked
from llmtuner.runs.manifest import read_manifest
from llmtuner.runs.weights import base_fingerprint

STEPS = 6
STAGES = ("mcq", "sft")


def command(stage, model, out, *more):
    return [
        *("--stage", stage, "--model_name_or_path", str(model), "--template", "llama2", "--do_train", "--use_cpu"),
        *("--dataset", str(DEMO), "--max_samples", "10", "--output_dir", str(out), "--max_steps", str(STEPS)),
        *("--per_device_train_batch_size", "1", "--learning_rate", "1e-3", "--lora_dropout", "0.2", *more),
        *("--logging_steps", "1", "--report_to", "none"),
    ]


def weights(out):
    return load_file(out / "adapter_model.safetensors")


def losses(out):
    state = json.loads((out / "trainer_state.json").read_text())
    logged = [(line["step"], line["loss"]) for line in state["log_history"] if "loss" in line]
    return logged, json.loads((out / "train_results.json").read_text())["train_loss"]


def assert_equal(first, second):
    one, two = weights(first), weights(second)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert losses(first) == losses(second)


@pytest.fixture(scope="module", params=STAGES)
def whole(request, tiny_llama, tmp_path_factory):
    """An uninterrupted run of each stage, with two batches a step."""
    out = tmp_path_factory.mktemp(request.param) / "whole"
    assert main(command(request.param, tiny_llama, out, "--save_steps", "2", "--gradient_accumulation_steps", "2")) == 0
    return request.param, out


def same(stage, model, out):
    return command(stage, model, out, "--save_steps", "2", "--gradient_accumulation_steps", "2")


@pytest.fixture
def at_batch(monkeypatch):
    """Do something once, after a number of batches."""

    def install(number, action):
        original, count = Trainer.training_step, 0

        def step(*args, **kwargs):
            nonlocal count
            loss = original(*args, **kwargs)
            count += 1
            if count == number:
                action(args[0])
            return loss

        monkeypatch.setattr(Trainer, "training_step", step)

    return install


def test_a_finished_run_says_what_it_is(whole, tiny_llama):
    stage, out = whole
    manifest, line = finished_run(out)
    assert line == ""
    assert (manifest.stage, manifest.step, manifest.max_steps) == (stage, STEPS, STEPS)
    assert manifest.base == base_fingerprint(tiny_llama)
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= manifest.files.keys()
    assert manifest.settings["learning_rate"] == 1e-3
    assert sum(manifest.answer_places.values()) == 10, "of the 40 rows, those of --max_samples"
    assert manifest.prompt["template"] == "llama2"
    checkpoint = read_manifest(out / "checkpoint-4" / "checkpoint.json")
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} <= checkpoint.files.keys()
    assert not find_checkpoints(out)[0].defect


@pytest.mark.parametrize("number", [3, 6], ids=["within a step", "at its end"])
def test_sigterm_saves_a_checkpoint_and_the_same_command_ends_as_if_nothing_had_happened(
    whole, tiny_llama, tmp_path, capfd, at_batch, number
):
    """A checkpoint that was saved within a step resumed with other random numbers."""
    stage, uninterrupted = whole
    at_batch(number, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    step = number // 2
    assert main(same(stage, tiny_llama, tmp_path)) == 143
    assert f"terminated: {tmp_path / f'checkpoint-{step}'} is saved" in capfd.readouterr().err
    assert not find_checkpoints(tmp_path)[-1].defect
    assert not (tmp_path / "run.json").exists()
    assert main(same(stage, tiny_llama, tmp_path)) == 0
    assert_equal(uninterrupted, tmp_path)


def test_sigterm_stops_after_a_step_of_one_batch(tiny_llama, tmp_path, at_batch):
    at_batch(2, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    assert main(command("mcq", tiny_llama, tmp_path, "--save_steps", "4")) == 143
    assert [checkpoint.step for checkpoint in find_checkpoints(tmp_path)] == [2]


def test_a_run_whose_end_was_not_saved_is_completed_without_another_step(whole, tiny_llama, tmp_path, capfd, at_batch):
    """The Trainer resumed at step 6 of 6 and made a seventh."""
    stage, uninterrupted = whole
    assert main(same(stage, tiny_llama, tmp_path)) == 0
    for name in ("run.json", "adapter_model.safetensors", "train_results.json", "trainer_state.json"):
        (tmp_path / name).unlink()
    at_batch(1, lambda _: pytest.fail("no step is left"))
    assert main(same(stage, tiny_llama, tmp_path)) == 0
    assert "all steps are done" in capfd.readouterr().err
    assert_equal(uninterrupted, tmp_path)
    assert finished_run(tmp_path)[0] is not None


def test_a_first_checkpoint_that_was_never_complete_is_set_aside(whole, tiny_llama, tmp_path):
    """Upstream resumes from any folder with such a name."""
    stage, uninterrupted = whole
    (tmp_path / "checkpoint-2").mkdir()
    (tmp_path / "checkpoint-2" / "adapter_model.safetensors").write_bytes(b"half")
    assert main(same(stage, tiny_llama, tmp_path)) == 0
    assert (tmp_path / "replaced-checkpoint-2").is_dir()
    assert_equal(uninterrupted, tmp_path)


def test_python_and_merging_refuse_damaged_weights_too(tiny_llama, tmp_path):
    """A prediction refused them, and merge.py and load_scorer took them."""
    assert main(command("mcq", tiny_llama, tmp_path / "run", "--max_steps", "1")) == 0
    weights_of_run = tmp_path / "run" / "adapter_model.safetensors"
    content = bytearray(weights_of_run.read_bytes())
    content[-1] ^= 1
    weights_of_run.write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        load_scorer(tmp_path / "run")
    with pytest.raises(UserError, match="is damaged"):
        merge(tmp_path / "run", tmp_path / "merged")
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(UserError, match="interrupted"):
        load_scorer(tmp_path / "run")


def test_an_adapter_without_its_tokenizer_uses_that_of_the_base_model(tiny_llama, tmp_path):
    """The command line read such a copy, and load_scorer and merge.py ended in transformers' own words."""
    assert main(command("mcq", tiny_llama, tmp_path / "run", "--max_steps", "1")) == 0
    (tmp_path / "copy").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors", "mcq_config.json"):
        (tmp_path / "copy" / name).write_bytes((tmp_path / "run" / name).read_bytes())
    assert load_scorer(tmp_path / "copy").settings == load_scorer(tmp_path / "run").settings
    merge(tmp_path / "copy", tmp_path / "merged")


def test_a_home_folder_in_a_path_is_the_home_folder(tiny_llama, tmp_path, monkeypatch):
    """YAML does not expand "~", and transformers does so for its own files: the others were in a folder named "~"."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert main(command("mcq", tiny_llama, "~/out", "--max_steps", "1", "--save_steps", "1")) == 0
    assert finished_run(tmp_path / "home" / "out")[0] is not None
    assert not (tmp_path / "~").exists()


def test_more_steps_of_a_finished_run_go_on_and_set_its_end_aside(whole, tiny_llama, tmp_path, capfd):
    stage, _ = whole
    assert main(command(stage, tiny_llama, tmp_path, "--max_steps", "2")) == 0
    before = (tmp_path / "adapter_model.safetensors").read_bytes()
    assert main(command(stage, tiny_llama, tmp_path, "--max_steps", "3")) == 0
    assert "resumed with --max_steps 3, before 2" in capfd.readouterr().err
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    rates = {line["step"]: line["learning_rate"] for line in state["log_history"] if "learning_rate" in line}
    assert rates[3] == pytest.approx(1e-3 / 3), "the rate of the new schedule, not that of the end of the old one, 0"
    assert (tmp_path / "replaced-adapter_model.safetensors").read_bytes() == before
    assert finished_run(tmp_path)[0].step == 3


@pytest.mark.parametrize("stage", STAGES)
def test_weights_that_are_no_numbers_are_not_saved(stage, tiny_llama, tmp_path, capfd, at_batch):
    """A learning rate of 1e39 saved NaN weights after its only step, with exit 0."""

    def break_weights(trainer):
        parameter = next(p for p in trainer.model.parameters() if p.requires_grad)
        parameter.register_post_accumulate_grad_hook(lambda p: None)
        step = trainer.optimizer.step

        def broken(*args, **kwargs):
            step(*args, **kwargs)
            parameter.data.fill_(float("inf"))

        trainer.optimizer.step = broken

    at_batch(1, break_weights)
    assert main(command(stage, tiny_llama, tmp_path, "--max_steps", "1")) == 1
    assert "the weights became NaN or Inf by step 1" in capfd.readouterr().err
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("stage", STAGES)
def test_a_training_without_a_learning_rate_is_no_training(stage, tiny_llama, tmp_path, capfd):
    """With more warm-up steps than steps, an adapter of zeros was saved, with exit 0."""
    assert main(command(stage, tiny_llama, tmp_path, "--max_steps", "1", "--warmup_steps", "10")) == 2
    assert "the learning rate was 0 in every step, so nothing was trained" in capfd.readouterr().err
    assert not (tmp_path / "adapter_model.safetensors").exists()
    assert main(command(stage, tiny_llama, tmp_path / "zero", "--learning_rate", "0")) == 2


@pytest.fixture
def trained_rows(monkeypatch):
    """The questions of every batch that is trained on, in order."""
    rows: list[int] = []
    training_step = Trainer.training_step

    def counted(trainer, model, inputs, *more, **named):
        rows.extend(range(len(inputs["labels"])) if "rows" not in inputs else inputs["rows"].tolist())
        return training_step(trainer, model, inputs, *more, **named)

    monkeypatch.setattr(Trainer, "training_step", counted)
    return rows


@pytest.mark.parametrize(
    ("first", "then", "epochs", "steps", "questions"),
    [
        (("1", "1"), ("2", "1"), ("1", "3"), 10 + 2 * 5, 20),
        (("1", "1"), ("1", "2"), ("1", "3"), 10 + 2 * 5, 20),
        (("2", "1"), ("1", "1"), ("1", "2"), 5 + 10, 10),
        (("2", "1"), ("1", "2"), ("1", "2"), 5 + 5, 10),
        (("1", "1"), ("10", "1"), ("0.4", "2"), 4 + 2, 20),  # a step that is not complete is made again
    ],
    ids=["larger batches", "accumulated", "smaller batches", "the same size", "within an epoch"],
)
def test_epochs_count_whatever_the_size_of_a_step(
    first, then, epochs, steps, questions, tiny_llama, tmp_path, capfd, trained_rows
):
    """Steps were counted: after batches of 1, batches of 2 trained half of what was asked for, or nothing."""

    out, kept = tmp_path / "out", tmp_path / "kept"

    def train(size, number):
        flags = ("--per_device_train_batch_size", size[0], "--gradient_accumulation_steps", size[1])
        more = ("--max_steps", "-1", "--num_train_epochs", number, "--save_steps", "0.4")
        assert main(command("mcq", tiny_llama, out, *more, *flags)) == 0
        capfd.readouterr()

    train(first, epochs[0])
    trained_rows.clear()
    train(then, epochs[1])
    assert len(trained_rows) == questions
    assert set(trained_rows[-10:]) == set(range(10)), "the last epoch has every question once"
    manifest = finished_run(out)[0]
    assert (manifest.step, manifest.epoch) == (steps, float(epochs[1]))
    shutil.copytree(out, kept)
    (out / "run.json").unlink()
    shutil.rmtree(find_checkpoints(out)[-1].folder)
    train(then, epochs[1])
    assert finished_run(out)[0].step == steps, "resumed again in the new size"
    one, two = weights(out), weights(kept)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_intervals_of_a_resumed_training_are_the_new_ones(tiny_llama, tmp_path):
    """ "resumed with --save_steps 1, before 3" was said, and those of the checkpoint stayed."""
    assert main(command("mcq", tiny_llama, tmp_path, "--max_steps", "3", "--save_steps", "3")) == 0
    assert main(command("mcq", tiny_llama, tmp_path, "--save_steps", "1")) == 0
    assert [each.step for each in find_checkpoints(tmp_path)] == [3, 4, 5, 6]


@pytest.mark.parametrize("cut", ["the end", "the last step"])
def test_a_part_of_an_epoch_resumes_to_its_end(cut, tiny_llama, tmp_path, capfd):
    """Half an epoch of three steps ends at two thirds of it, which counted as "holds a finished run"."""
    flags = ("--max_steps", "-1", "--num_train_epochs", "0.7", "--max_samples", "5", "--save_steps", "1")
    flags = (*flags, "--gradient_accumulation_steps", "4")
    assert main(command("sft", tiny_llama, tmp_path, *flags)) == 0
    whole = weights(tmp_path)
    (tmp_path / "run.json").unlink()
    (tmp_path / "adapter_model.safetensors").unlink()
    if cut == "the last step":
        shutil.rmtree(tmp_path / "checkpoint-2")
    assert main(command("sft", tiny_llama, tmp_path, *flags)) == 0
    assert ("all steps are done" in capfd.readouterr().err) == (cut == "the end")
    assert all(torch.equal(whole[name], tensor) for name, tensor in weights(tmp_path).items())
    assert main(command("sft", tiny_llama, tmp_path, *flags)) == 2
    assert "holds a finished run" in capfd.readouterr().err


@pytest.fixture
def worse_with_each_step(monkeypatch):
    """The first evaluation is the best one, on every machine."""
    evaluate = McqTrainer.evaluate

    def worse(trainer, *args, **named):
        return evaluate(trainer, *args, **named) | {"eval_map@3": 1 / trainer.state.global_step}

    monkeypatch.setattr(McqTrainer, "evaluate", worse)


@pytest.mark.usefixtures("worse_with_each_step")
def test_the_best_checkpoint_of_a_whole_encoder_is_what_the_training_ends_with(tiny_bert, tmp_path):
    """Its files call the LayerNorms gamma and beta: they stayed those of the last step, or of the base model."""
    flags = ("--finetuning_type", "full", "--learning_rate", "1e-2", "--eval_dataset", str(DEMO), "--save_steps", "1")
    flags = (*flags, "--eval_strategy", "steps", "--eval_steps", "1", "--load_best_model_at_end", "true")
    words = command("mcq", tiny_bert, tmp_path, *flags, "--metric_for_best_model", "map@3")
    for unwanted in ("--template", "--lora_dropout"):
        place = words.index(unwanted)
        del words[place : place + 2]
    assert main(words) == 0
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    assert state["best_global_step"] == 1
    best, last = (load_scorer(folder) for folder in (state["best_model_checkpoint"], tmp_path))
    one, two = best.model.state_dict(), last.model.state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


WEIGHTS_ALONE = ("--save_only_model", "true", "--eval_dataset", str(DEMO), "--eval_strategy", "steps")


@pytest.mark.usefixtures("worse_with_each_step")
def test_a_training_that_saves_weights_alone_ends_with_the_best_ones(tiny_llama, tmp_path):
    """It failed after its last step, "the best checkpoint was lost during the run", and saved nothing."""
    best = ("--eval_steps", "1", "--save_steps", "1", "--load_best_model_at_end", "true")
    words = command("mcq", tiny_llama, tmp_path, *WEIGHTS_ALONE, *best, "--metric_for_best_model", "map@3")
    assert main([*words, "--max_steps", "2"]) == 0
    one, two = weights(tmp_path / "checkpoint-1"), weights(tmp_path)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_sigterm_in_the_last_evaluation_is_obeyed(tiny_llama, tmp_path, capfd, monkeypatch):
    """The run went on to its end, with status 0. With --save_only_model it could not resume, and said that it could."""
    evaluate = McqTrainer.evaluate

    def stopped(trainer, *args, **named):
        if trainer.state.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(trainer, *args, **named)

    words = command("mcq", tiny_llama, tmp_path, *WEIGHTS_ALONE, "--eval_steps", "2", "--save_steps", "2")
    with monkeypatch.context() as patched:
        patched.setattr(McqTrainer, "evaluate", stopped)
        assert main([*words, "--max_steps", "2"]) == 143
    assert f"terminated: {tmp_path / 'checkpoint-2'} is saved" in capfd.readouterr().err
    assert not find_checkpoints(tmp_path)[0].defect
    assert not (tmp_path / "run.json").exists()
    assert main([*words, "--max_steps", "2"]) == 0
    assert "all steps are done" in capfd.readouterr().err
    # The next checkpoints hold weights alone. The limit deleted the only one that can be resumed from.
    longer = ("--max_steps", "5", "--save_steps", "1", "--save_total_limit", "1")
    assert main([*words, *longer]) == 0
    assert [each.step for each in find_checkpoints(tmp_path) if not each.defect] == [2]
    assert [each.step for each in find_checkpoints(tmp_path)] == [2, 5]


def test_checkpoints_beyond_the_limit_are_deleted_but_never_the_best(tiny_llama, tmp_path):
    evaluation = ("--val_size", "4", "--eval_strategy", "steps", "--eval_steps", "1", "--save_steps", "1")
    best = ("--load_best_model_at_end", "true", "--metric_for_best_model", "nll", "--greater_is_better", "true")
    more = (*evaluation, *best, "--save_total_limit", "2", "--learning_rate", "1e-2")
    assert main(command("mcq", tiny_llama, tmp_path, *more)) == 0
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    left = [checkpoint.step for checkpoint in find_checkpoints(tmp_path)]
    assert left == sorted({state["best_global_step"], STEPS - 1, STEPS})
    assert state["best_global_step"] < STEPS - 1, "or the test shows nothing"


@pytest.mark.parametrize("stage", ["mcq", "sft"])
def test_the_best_evaluation_is_the_end_whatever_the_interval_of_saving(stage, tiny_llama, tmp_path, at_batch):
    """Evaluated more often than saved, as the documents show it, a training ended with its last weights, in silence."""
    loss = "nll" if stage == "mcq" else "loss"
    evaluation = ("--val_size", "4", "--eval_strategy", "steps", "--eval_steps", "1", "--learning_rate", "1e-2")
    best = ("--load_best_model_at_end", "true", "--metric_for_best_model", loss, "--greater_is_better", "true")
    ends, states = [], []
    for save_steps in ("1", "1000"):
        out = tmp_path / save_steps
        assert main(command(stage, tiny_llama, out, *evaluation, *best, "--save_steps", save_steps)) == 0
        ends.append((out / "adapter_model.safetensors").read_bytes())
        states.append(json.loads((out / "trainer_state.json").read_text()))
    assert ends[0] == ends[1]
    steps = [state["best_global_step"] for state in states]
    assert steps[0] == steps[1] < STEPS, "or the test shows nothing"
    assert [each.step for each in find_checkpoints(out)] == [steps[0], STEPS]
    at_batch(STEPS - 1, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    resumed = command(stage, tiny_llama, tmp_path / "resumed", *evaluation, *best, "--save_steps", "1000")
    assert main(resumed) == 143
    assert main(resumed) == 0
    assert (tmp_path / "resumed" / "adapter_model.safetensors").read_bytes() == ends[0]


def test_an_old_checkpoint_stays_while_the_newest_is_not_sound(tiny_llama, tmp_path, monkeypatch):
    monkeypatch.setattr("llmtuner.runs.keeper.defect_of", lambda folder, manifest: "damaged")
    assert (
        main(command("mcq", tiny_llama, tmp_path, "--max_steps", "2", "--save_steps", "1", "--save_total_limit", "1"))
        == 0
    )
    assert [checkpoint.step for checkpoint in find_checkpoints(tmp_path)] == [1, 2]


def test_a_second_run_in_the_same_folder_is_refused(tiny_llama, tmp_path, capfd):
    with locked(tmp_path):
        assert main(command("mcq", tiny_llama, tmp_path)) == 2
    assert f"another run writes to it (process {os.getpid()}" in capfd.readouterr().err


def test_temporary_files_of_a_killed_run_are_removed(tiny_llama, tmp_path):
    leftover = tmp_path / ".run.json.123-0a1b2c3d"
    leftover.write_text("{")
    (tmp_path / ".notes").write_text("the user's")
    assert main(command("mcq", tiny_llama, tmp_path, "--max_steps", "1")) == 0
    assert not leftover.exists()
    assert (tmp_path / ".notes").exists()


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        Exception("No space left on device (os error 28)"),  # tokenizers
    ],
    ids=["torch", "safetensors", "tokenizers"],
)
def test_a_full_disk_is_named_and_leaves_no_half_checkpoint(error, tiny_llama, tmp_path, capfd, monkeypatch):
    def full(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(torch, "save", full)
    monkeypatch.setattr("llmtuner.runs.disk._free", lambda folder: 4096)
    assert main(command("sft", tiny_llama, tmp_path, "--save_steps", "1")) == 1
    assert f"no space left on the disk of {tmp_path}" in capfd.readouterr().err
    assert find_checkpoints(tmp_path) == []


@pytest.mark.slow
def test_a_best_checkpoint_that_is_lost_during_the_run_is_an_error(tiny_llama, tmp_path, capfd, at_batch):
    """The last weights were saved as the best ones, with status 0."""
    best = tmp_path / "checkpoint-2"
    at_batch(5, lambda _: shutil.move(best, tmp_path / "lost"))
    more = ("--save_steps", "2", "--eval_strategy", "steps", "--eval_steps", "2", "--val_size", "2", "--seed", "1")
    more += ("--load_best_model_at_end", "true", "--metric_for_best_model", "loss", "--learning_rate", "1e-12")
    # Without a change that rounding shows, no later evaluation is better than the first.
    assert main(command("sft", tiny_llama, tmp_path, *more)) == 1
    assert f"the best checkpoint, {best}, was lost during the run: no such folder" in capfd.readouterr().err
    assert not (tmp_path / "adapter_model.safetensors").exists()
    shutil.move(tmp_path / "lost", best)
    assert main(command("sft", tiny_llama, tmp_path, *more)) == 0


@pytest.mark.slow
def test_a_resumed_run_stops_early_where_it_would_have_stopped(tiny_llama, tmp_path):
    """The evaluations without a gain were counted from 0 again: it trained on, and ended with other weights."""
    more = ("--save_steps", "1", "--eval_strategy", "steps", "--eval_steps", "1", "--val_size", "2")
    more += ("--load_best_model_at_end", "true", "--metric_for_best_model", "map@3", "--learning_rate", "1e-12")

    def run(patience):
        out = tmp_path / "out"
        assert main(command("mcq", tiny_llama, out, *more, "--early_stopping_steps", str(patience))) == 0
        return json.loads((out / "trainer_state.json").read_text())["global_step"]

    assert run(2) == 3
    for name in ("run.json", "adapter_model.safetensors", "train_results.json"):
        (tmp_path / "out" / name).unlink()
    shutil.rmtree(tmp_path / "out" / "checkpoint-3")
    assert run(2) == 3
    assert run(4) == 5  # further than it stopped


@pytest.mark.parametrize("stage", STAGES)
def test_early_stopping_may_begin_with_the_resumed_training(stage, tiny_llama, tmp_path):
    """The first save ended in KeyError 'EarlyStoppingCallback', and a finished run had lost its final files."""
    more = ("--save_steps", "1", "--eval_strategy", "steps", "--eval_steps", "1", "--val_size", "2")
    more += ("--load_best_model_at_end", "true", "--metric_for_best_model", "loss", "--learning_rate", "1e-12")
    assert main(command(stage, tiny_llama, tmp_path, *more, "--max_steps", "2")) == 0
    stops = ("--max_steps", "6", "--early_stopping_steps", "2")
    assert main(command(stage, tiny_llama, tmp_path, *more, *stops)) == 0
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    assert state["global_step"] == 4, "two evaluations without a gain, counted from the resumed step on"
    assert (tmp_path / "adapter_model.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_workers_that_are_told_to_stop_with_the_run_cost_no_checkpoint(stage, tiny_llama, tmp_path, at_batch):
    def stop_all(_trainer):
        workers = [str(worker.pid) for worker in multiprocessing.active_children()]
        subprocess.run(["kill", "-TERM", *workers], check=True)  # torch forgives a signal of the parent
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    at_batch(3, stop_all)
    assert main(command(stage, tiny_llama, tmp_path, "--dataloader_num_workers", "1", "--save_steps", "9")) == 143
    assert [checkpoint.step for checkpoint in find_checkpoints(tmp_path)] == [3]


@pytest.mark.usefixtures("worse_with_each_step")
def test_a_copied_checkpoint_that_is_the_best_one_is_the_end(tiny_llama, tmp_path):
    """Its folder was sought beside it under the name checkpoint-N, and "was lost during the run"."""
    flags = ("--eval_dataset", str(DEMO), "--eval_strategy", "steps", "--eval_steps", "2", "--save_steps", "2")
    flags = (*flags, "--load_best_model_at_end", "true", "--metric_for_best_model", "map@3")
    one, two, copy = tmp_path / "one", tmp_path / "two", tmp_path / "copy"
    assert main(command("mcq", tiny_llama, one, "--max_steps", "2", *flags)) == 0
    shutil.copytree(one / "checkpoint-2", copy)
    rate = ("--learning_rate", "1e-3", "--max_steps", "4", "--resume_from_checkpoint", str(copy))
    assert main(command("mcq", tiny_llama, two, *flags, *rate)) == 0


def test_a_training_that_begins_its_epoch_again_stays_as_long_as_it_was(tiny_llama, tmp_path):
    """With --ignore_data_skip, a second resume took the repeated epoch for steps of another size: 17 in place of 12."""
    flags = ("--max_steps", "-1", "--num_train_epochs", "1", "--save_steps", "4", "--ignore_data_skip", "true")
    assert main(command("mcq", tiny_llama, tmp_path, *flags)) == 0
    for kept in (4, 8):
        (tmp_path / "run.json").unlink()
        for each in find_checkpoints(tmp_path):
            if each.step > kept:
                shutil.rmtree(each.folder)
        assert main(command("mcq", tiny_llama, tmp_path, *flags)) == 0
        assert finished_run(tmp_path)[0].step == 10


def test_a_training_from_a_named_checkpoint_goes_on_where_it_was_interrupted(tiny_llama, tmp_path, capfd):
    """The same command went back to the named checkpoint, so a job that is requeued never came further."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(command("mcq", tiny_llama, one, "--save_steps", "1", "--max_steps", "2")) == 0
    flags = ("--save_steps", "1", "--resume_from_checkpoint", str(one / "checkpoint-2"))
    assert main(command("mcq", tiny_llama, two, *flags)) == 0
    whole = weights(two)
    (two / "run.json").unlink()
    shutil.rmtree(two / "checkpoint-6")
    capfd.readouterr()
    assert main(command("mcq", tiny_llama, two, *flags)) == 0
    assert f"resuming from {two / 'checkpoint-5'}" in capfd.readouterr().err
    assert all(torch.equal(whole[name], tensor) for name, tensor in weights(two).items())
    shutil.rmtree(two / "checkpoint-3")
    (two / "run.json").unlink()
    earlier = ("--save_steps", "1", "--resume_from_checkpoint", str(one / "checkpoint-1"))
    assert main(command("mcq", tiny_llama, two, *earlier)) == 0
    assert f"resuming from {one / 'checkpoint-1'}" in capfd.readouterr().err
