"""STEP1 end to end, in process: the notes' commands, their output, and what must not change a result."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llmtuner.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
ENTRY = ROOT / "src" / "train_bash.py"


def train_command(model, output_dir, *more: str) -> list[str]:
    """The notes' command word for word; only model and output folder differ."""
    return [
        *("--stage", "sft", "--model_name_or_path", str(model), "--do_train", "--dataset", "llmscience_sample"),
        *("--template", "llama2", "--finetuning_type", "lora", "--output_dir", str(output_dir), "--overwrite_cache"),
        *("--per_device_train_batch_size", "1", "--gradient_accumulation_steps", "4"),
        *("--lr_scheduler_type", "cosine", "--logging_steps", "10", "--save_steps", "1000"),
        *("--learning_rate", "5e-5", "--num_train_epochs", "3.0", "--plot_loss", *more),
    ]


def predict_command(model, output_dir, *more: str) -> list[str]:
    return [
        *("--stage", "sft", "--model_name_or_path", str(model), "--do_predict", "--eval_dataset", "llmscience_sample"),
        *("--template", "llama2", "--finetuning_type", "lora", "--output_dir", str(output_dir)),
        *("--predict_with_generate", "--max_new_tokens", "2", *more),
    ]


def results(folder: Path) -> dict:
    return json.loads((folder / "predict_results.json").read_text())


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").open(encoding="utf-8")]


@pytest.fixture(scope="module")
def adapter(tiny_llama, tmp_path_factory) -> Path:
    """The output of the notes' training command, run from a folder outside the project."""
    folder = tmp_path_factory.mktemp("step1") / "sft checkpoint"
    before = os.getcwd()
    os.chdir(folder.parent)
    try:
        assert main(train_command(tiny_llama, folder, "--fp16")) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(scope="module")
def prediction(tiny_llama, adapter, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("step1") / "predict"
    assert main(predict_command(tiny_llama, folder, "--adapter_name_or_path", str(adapter))) == 0
    return folder


def test_the_notes_command_trains(adapter):
    """... even with --fp16 on a machine without a GPU."""
    train = json.loads((adapter / "train_results.json").read_text())
    assert train["epoch"] == 3
    assert train["train_loss"] > 0
    assert (adapter / "training_loss.png").stat().st_size > 1000
    weights = load_file(adapter / "adapter_model.safetensors")
    assert any(tensor.abs().max() > 0 for name, tensor in weights.items() if "lora_B" in name)


def test_the_result_file_has_every_figure_of_2023_and_the_new_ones(prediction):
    figures = results(prediction)
    for name in ("accuracy", "bleu-4", "rouge-1", "rouge-2", "rouge-l", "runtime", "samples_per_second"):
        assert isinstance(figures[f"predict_{name}"], float), name
    assert {"predict_steps_per_second", "predict_map@3", "predict_top1_accuracy"} <= figures.keys()
    assert figures["floor_random_map@3"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 5)
    assert figures["floor_random_accuracy"] == pytest.approx(0.2)
    assert 0.3 < figures["floor_longest_map@3"] < 0.44
    assert "sampled" in figures["predict_accuracy_is"], "a sampled figure says that it is"


def test_scores_can_be_computed_again_from_the_predictions(prediction, demo_records):
    """The metrics and files of one run must not use different row orders."""
    predicted = lines(prediction)
    assert [line["id"] for line in predicted] == [record["id"] for record in demo_records]
    assert [line["answer"] for line in predicted] == [record["answer"] for record in demo_records]
    assert all(len(line["digest"]) == 16 for line in predicted)
    places = [line["ranking"].index(line["answer"]) + 1 for line in predicted]
    figures = results(prediction)
    assert figures["predict_map@3"] == pytest.approx(sum(1 / p for p in places if p <= 3) / 40)
    assert figures["predict_top1_accuracy"] == pytest.approx(places.count(1) / 40)
    assert figures["predict_mrr"] == pytest.approx(sum(1 / place for place in places) / 40)
    of_answers = [line["probabilities"][line["answer"]] for line in predicted]
    assert figures["predict_nll"] == pytest.approx(-sum(map(math.log, of_answers)) / 40)
    assert 0 <= figures["predict_ece"] <= 1, "both stages report the same metrics"
    for line in predicted:
        assert sorted(line["ranking"]) == list("ABCDE")
        assert line["ranking"][0] == max(line["scores"], key=line["scores"].get)
        assert sum(line["probabilities"].values()) == pytest.approx(1)
    with (prediction / "submission.csv").open(newline="") as file:
        submission = list(csv.DictReader(file))
    assert [row["prediction"] for row in submission] == [" ".join(line["ranking"][:3]) for line in predicted]


def test_batch_size_changes_no_score(tiny_llama, adapter, prediction, tmp_path):
    more = ("--adapter_name_or_path", str(adapter), "--per_device_eval_batch_size", "3")
    assert main(predict_command(tiny_llama, tmp_path, *more)) == 0
    for single, batched in zip(lines(prediction), lines(tmp_path), strict=True):
        assert single["id"] == batched["id"]
        assert list(single["scores"].values()) == pytest.approx(list(batched["scores"].values()), abs=1e-5)


def test_the_prediction_command_of_2023_runs(tiny_llama, adapter, prediction, tmp_path, capsys):
    arguments = [
        *("--stage", "sft", "--model_name_or_path", str(tiny_llama), "--do_predict", "--dataset", "llmscience_sample"),
        *("--template", "llama2", "--finetuning_type", "lora", "--checkpoint_dir", str(adapter)),
        *("--output_dir", str(tmp_path), "--per_device_eval_batch_size", "8", "--max_samples", "12"),
        *("--predict_with_generate", "--max_new_tokens", "2"),
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr().err
    assert "--checkpoint_dir is --adapter_name_or_path" in printed.replace(" now", "").replace(" today", "")
    assert [line["id"] for line in lines(tmp_path)] == [f"demo-{i:03}" for i in range(1, 13)]


def test_the_printed_scores_stand_beside_the_baselines(tiny_llama, tmp_path, capsys):
    assert main(predict_command(tiny_llama, tmp_path, "--max_samples", "4", "--do_sample", "False")) == 0
    printed = capsys.readouterr().out
    for part in ("MAP@3", "this model", "longest option", "random", "the likeliest tokens"):
        assert part in printed


def test_without_answers_there_are_rankings_and_no_scores(tiny_llama, tmp_path, demo_records):
    """Kaggle's test file; every row must get an answer, including those with blank or equal options."""
    path = tmp_path / "test.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "prompt", *"ABCDE"])
        for number, record in enumerate(demo_records[:6]):
            writer.writerow([f"{number:03}", record["prompt"], *(record[letter] for letter in "ABCDE")])
        writer.writerow(["900", "Which is blank?", "a", "", "c", "None", "NA"])
        writer.writerow(["901", "Which two are equal?", "x", "x", "c", "d", "e"])
        writer.writerow(["902", "", "a", "b", "c", "d", "e"])
        writer.writerow(["903", "A long question. " * 60, "a", "b", "c", "d", "e"])
    out = tmp_path / "out"
    assert main(predict_command(tiny_llama, out, "--eval_dataset", str(path), "--cutoff_len", "200")) == 0
    assert [line["id"] for line in lines(out)] == [*(f"{i:03}" for i in range(6)), "900", "901", "902", "903"]
    assert all("answer" not in line for line in lines(out))
    with (out / "submission.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert all(len(set(row["prediction"].split())) == 3 for row in rows)
    run_times = {"runtime", "samples_per_second", "steps_per_second", "model_preparation_time"}
    assert {name.removeprefix("predict_") for name in results(out)} <= run_times


def test_partly_labelled_questions_are_scored_where_they_can_be(tiny_llama, tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text('{"query": "W?", "choices": ["a", "b"], "gold": 1}\n{"query": "V?", "choices": ["a", "b", "c"]}\n')
    out = tmp_path / "out"
    assert main(predict_command(tiny_llama, out, "--eval_dataset", str(path))) == 0
    assert results(out)["predict_scored_questions"] == 1
    assert results(out)["floor_random_accuracy"] == pytest.approx(0.5)
    assert [len(line["ranking"]) for line in lines(out)] == [2, 3]


def test_several_data_sets_are_told_apart(tiny_llama, tmp_path):
    path = tmp_path / "other.jsonl"
    path.write_text('{"query": "W?", "choices": ["a", "b"], "gold": 1}\n')
    out = tmp_path / "out"
    arguments = ["--eval_dataset", f"llmscience_sample,{path}", "--max_samples", "2"]
    assert main(predict_command(tiny_llama, out, *arguments)) == 0
    assert [line["dataset"] for line in lines(out)] == ["llmscience_sample", "llmscience_sample", str(path)]


@pytest.mark.slow  # four questions are learnt below, under two templates
def test_a_small_model_learns_its_training_questions(tiny_llama, tmp_path):
    """From file to score: if prompt, labels or letters were off by one, 40 questions could not be learnt."""
    trained, out = tmp_path / "full", tmp_path / "predict"
    more = ["--finetuning_type", "full", "--learning_rate", "3e-3", "--num_train_epochs", "25"]
    more += ["--per_device_train_batch_size", "8", "--gradient_accumulation_steps", "1", "--save_strategy", "no"]
    assert main(train_command(tiny_llama, trained, *more)) == 0
    predicted = predict_command(trained, out, "--finetuning_type", "full", "--do_sample", "False")
    assert main(predicted) == 0
    figures = results(out)
    assert figures["predict_accuracy"] > 0.95, "the generated letters"
    assert figures["predict_top1_accuracy"] > 0.95, "the letters' probabilities"
    assert figures["predict_map@3"] > 0.95


@pytest.mark.parametrize("template", ["qwen", "default"])
def test_templates_that_close_with_a_line_break_are_scored_alike(template, tiny_llama, tmp_path):
    """The label kept its line break, so no text began with it: accuracy 0.0 with MAP@3 1.0."""
    trained, out = tmp_path / "full", tmp_path / "predict"
    shape = ["--template", template, "--resize_vocab", "true", "--max_samples", "4", "--finetuning_type", "full"]
    more = ["--learning_rate", "5e-3", "--num_train_epochs", "30", "--gradient_accumulation_steps", "1"]
    assert main(train_command(tiny_llama, trained, *shape, *more, "--save_strategy", "no")) == 0
    assert main(predict_command(trained, out, *shape, "--do_sample", "False", "--max_new_tokens", "3")) == 0
    assert results(out)["predict_map@3"] == 1.0
    assert results(out)["predict_accuracy"] == 1.0


def test_a_training_that_diverges_fails_and_saves_nothing(tiny_llama, tmp_path, capsys):
    """The Trainer logs such a loss as 0.0, continues, and saves NaN weights."""
    more = ["--finetuning_type", "full", "--learning_rate", "1e30", "--max_samples", "16"]
    assert main(train_command(tiny_llama, tmp_path / "out", *more)) == 1
    printed = capsys.readouterr().err
    assert "became NaN or Inf at step" in printed
    assert "Traceback" not in printed
    assert not list((tmp_path / "out").glob("**/*.safetensors"))


def test_evaluation_of_unlabelled_questions_invents_no_score(tiny_llama, tmp_path):
    path = tmp_path / "test.csv"
    path.write_text("prompt,A,B\nWhich?,a,b\n")
    arguments = predict_command(tiny_llama, tmp_path / "out", "--eval_dataset", str(path))
    arguments[arguments.index("--do_predict")] = "--do_eval"
    assert main(arguments) == 0
    figures = json.loads((tmp_path / "out" / "eval_results.json").read_text())
    assert not [name for name in figures if "accuracy" in name or "bleu" in name or "rouge" in name]


def test_other_data_in_a_prediction_is_counted_apart(tiny_llama, tmp_path):
    arguments = predict_command(tiny_llama, tmp_path, "--eval_dataset", "chat_demo,llmscience_sample")
    assert main([*arguments, "--max_samples", "3"]) == 0
    assert results(tmp_path)["predict_scored_questions"] == 3
    assert len(lines(tmp_path)) == 3


def test_a_finished_training_is_protected_and_more_epochs_resume_it(tiny_llama, tmp_path, capsys):
    quick = ("--max_samples", "8", "--num_train_epochs", "1")
    assert main(train_command(tiny_llama, tmp_path / "out", *quick)) == 0
    before = (tmp_path / "out" / "train_results.json").read_text()
    assert main(train_command(tiny_llama, tmp_path / "out", *quick)) == 2
    assert "finished run" in capsys.readouterr().err
    assert (tmp_path / "out" / "train_results.json").read_text() == before
    assert main(train_command(tiny_llama, tmp_path / "out", "--max_samples", "8", "--num_train_epochs", "2")) == 0
    assert "step 2 (of 2 planned then)" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "trainer_state.json").read_text())["global_step"] == 4


def test_a_run_that_starts_afresh_leaves_nothing_to_resume_by_mistake(tiny_llama, tmp_path):
    """The next run resumed from a later checkpoint of the discarded run."""
    quick = ["--max_samples", "8", "--max_steps"]
    assert main(train_command(tiny_llama, tmp_path, *quick, "4")) == 0
    assert main(train_command(tiny_llama, tmp_path, *quick, "2", "--overwrite_output_dir")) == 0
    assert (tmp_path / "replaced-checkpoint-4").is_dir()
    assert (tmp_path / "checkpoint-2").is_dir()
    named = ["--overwrite_output_dir", "--resume_from_checkpoint", str(tmp_path / "checkpoint-2")]
    assert main(train_command(tiny_llama, tmp_path, *quick, "3", *named)) == 0, "a given checkpoint stays"
    assert json.loads((tmp_path / "trainer_state.json").read_text())["global_step"] == 3


def test_a_run_that_is_resumed_ends_as_the_uninterrupted_one(tiny_llama, tmp_path):
    """With dropout: row order, optimizer, schedule and random state must all be restored."""
    more = ["--save_steps", "5", "--lora_dropout", "0.1", "--learning_rate", "5e-3", "--max_samples", "20"]
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert main(train_command(tiny_llama, whole, *more)) == 0
    part.mkdir()
    (whole / "checkpoint-5").rename(part / "checkpoint-5")
    (part / "checkpoint-10").mkdir()  # killed while it was saving
    assert main(train_command(tiny_llama, part, *more)) == 0
    uninterrupted, resumed = (load_file(folder / "adapter_model.safetensors") for folder in (whole, part))
    assert all(torch.equal(uninterrupted[name], resumed[name]) for name in uninterrupted)


def test_val_size_holds_out_questions_and_evaluates(tiny_llama, tmp_path):
    more = ["--val_size", "0.25", "--do_eval", "--num_train_epochs", "1", "--preprocessing_num_workers", "2"]
    assert main(train_command(tiny_llama, tmp_path, *more)) == 0
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    assert state["max_steps"] == 8, "30 questions to train: 30 / 4 steps, rounded up"
    assert "eval_loss" in json.loads((tmp_path / "eval_results.json").read_text())


def test_an_evaluation_loss_needs_answers(tiny_llama, tmp_path, capsys):
    """Upstream drops rows without an answer and evaluates on the rest, if any."""
    path = tmp_path / "test.csv"
    path.write_text("prompt,A,B\nWhich?,a,b\n")
    more = ["--eval_dataset", str(path), "--do_eval", "--num_train_epochs", "1", "--max_samples", "4"]
    assert main(train_command(tiny_llama, tmp_path / "out", *more)) == 2
    assert "test.csv:2" in capsys.readouterr().err


def test_evaluation_during_training_generates_on_demand(tiny_llama, tmp_path):
    """The column of questions must not reach the collator here either."""
    more = ["--eval_dataset", "llmscience_sample", "--eval_strategy", "epoch", "--predict_with_generate", "true"]
    more += ["--num_train_epochs", "1", "--max_samples", "4", "--max_new_tokens", "2", "--save_strategy", "no"]
    assert main(train_command(tiny_llama, tmp_path / "out", *more)) == 0
    history = json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"]
    assert any("eval_accuracy" in entry for entry in history)


def test_questions_mix_with_upstreams_own_data_and_with_packing(tiny_llama, tmp_path):
    more = [
        "--dataset",
        "chat_demo,llmscience_sample",
        "--num_train_epochs",
        "1",
        "--packing",
        "true",
        "--cutoff_len",
        "600",
    ]
    assert main(train_command(tiny_llama, tmp_path, *more)) == 0
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    assert 0 < state["max_steps"] < 12, "packed: fewer rows than 48 questions and turns"


def test_long_questions_are_dropped_only_on_demand(tiny_llama, tmp_path, capsys):
    more = ["--cutoff_len", "160", "--mcq_drop_long", "--num_train_epochs", "1"]
    status = main(train_command(tiny_llama, tmp_path, *more))
    printed = capsys.readouterr().err
    assert status == 0, printed
    assert "even without their context and are dropped" in printed
    assert "the end of their context was cut" in printed


def test_a_json_configuration_with_overrides(tiny_llama, tmp_path):
    """Upstream cannot read JSON configurations at all."""
    config = tmp_path / "run.json"
    settings = {
        "stage": "sft",
        "model_name_or_path": str(tiny_llama),
        "do_predict": True,
        "eval_dataset": ["llmscience_sample"],
        "template": "llama2",
        "output_dir": str(tmp_path / "not this"),
        "max_new_tokens": 2,
        "max_samples": 3,
    }
    config.write_text(json.dumps(settings))
    assert main([str(config), f"output_dir={tmp_path / 'out'}"]) == 0
    assert len(lines(tmp_path / "out")) == 3


def test_a_failed_run_is_not_a_users_mistake(tiny_llama, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr("llamafactory.train.tuner.run_exp", fail)
    assert main(train_command(tiny_llama, tmp_path / "out")) == 1
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert "out of memory" in printed
    assert "--per_device_train_batch_size" in printed


NO_NETWORK = """
import runpy, socket, sys
def trap(*args, **kwargs):
    print("NETWORK ATTEMPT", args[:2], file=sys.stderr)
    raise OSError("no network here")
socket.getaddrinfo = trap
socket.socket.connect = trap
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.subprocess
def test_a_run_on_local_files_makes_no_network_attempt(tiny_llama, tmp_path):
    """`datasets` contacts a web address to count downloads even when it reads a local file."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    more = ("--dataset", "llmscience_sample,chat_demo", "--num_train_epochs", "1", "--max_samples", "4")
    arguments = [str(ENTRY), *train_command(tiny_llama, tmp_path / "out", *more)]
    result = subprocess.run(
        [sys.executable, "-c", NO_NETWORK, *arguments], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "NETWORK ATTEMPT" not in result.stderr


@pytest.mark.subprocess
def test_two_processes_give_complete_predictions_in_order(tiny_llama, adapter, prediction, tmp_path):
    """Started without torchrun; arguments with spaces arrive whole; 37 rows do not divide by two."""
    more = ["--adapter_name_or_path", str(adapter), "--max_samples", "37", "--per_device_eval_batch_size", "4"]
    environment = {**os.environ, "FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "2", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, str(ENTRY), *predict_command(tiny_llama, tmp_path / "two words", *more), "--use_cpu"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    both = lines(tmp_path / "two words")
    assert [line["id"] for line in both] == [line["id"] for line in lines(prediction)][:37]
    for single_line, both_line in zip(lines(prediction), both, strict=False):
        assert list(single_line["scores"].values()) == pytest.approx(list(both_line["scores"].values()), abs=1e-5)


@pytest.mark.subprocess
def test_a_mistake_under_torchrun_is_reported_once(tiny_llama, tmp_path):
    environment = {**os.environ, "FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "2", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, str(ENTRY), *train_command(tiny_llama, tmp_path / "out", "--learing_rate", "1"), "--use_cpu"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert result.returncode == 2
    assert result.stderr.count("unknown flag --learing_rate") == 1
