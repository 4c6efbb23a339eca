"""Several processes train the same model as one process and write the same predictions. On a CPU, through gloo."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from distributed_runs import OF_TWO, QUESTIONS, Run, question_set, train
from safetensors.torch import load_file

from llmtuner.cli.main import main
from llmtuner.mcq.batches import QuestionBatches

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 300  # seconds, enough for a busy machine; deadlocked processes would wait forever
# The same optimizer steps in one process.
OF_ONE = {"size": Run(batch=8, accumulation=1), "tokens": Run(accumulation=2, tokens=OF_TWO["tokens"].tokens)}


def environment(**more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
    return {**inherited, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", **more}


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def run_all(commands: list[list[str]], environments: list[dict[str, str]], folder: Path) -> None:
    """Start processes together and wait for all; none is left running."""
    logs = [folder / f"process-{number}.log" for number in range(len(commands))]  # an unread pipe fills up
    started = []
    try:
        for command, env, log in zip(commands, environments, logs, strict=True):
            with log.open("w") as file:
                started.append(subprocess.Popen(command, env=env, stdout=file, stderr=file, start_new_session=True))
        for process, log in zip(started, logs, strict=True):
            assert process.wait(timeout=LIMIT) == 0, log.read_text()[-4000:]
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)  # launcher, torchrun and workers
                process.wait()


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> dict[str, dict]:
    """The trainings in one process."""
    return {name: train(run, tmp_path_factory.mktemp(name)) for name, run in OF_ONE.items()}


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[dict[str, dict]]:
    """The trainings in two processes, as seen by each of the two."""
    folder = tmp_path_factory.mktemp("two")
    torchrun = ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}"]
    run_all(
        [[sys.executable, *torchrun, str(ROOT / "tests" / "distributed_runs.py"), str(folder)]], [environment()], folder
    )
    results = []
    for rank in range(2):
        actual = json.loads((folder / f"results-{rank}.json").read_text())
        gradients = torch.load(folder / f"gradients-{rank}.pt", weights_only=True)
        results.append({name: {**actual[name], "gradients": gradients[name]} for name in actual})
    return results


def assert_same(expected: dict, actual: dict) -> None:
    """Compare losses and probabilities to 1e-5, and the first step's gradients to 1e-4 of their size."""
    assert actual["losses"] == pytest.approx(expected["losses"], abs=1e-5)
    assert len(expected["losses"]) == 10
    assert actual["evaluation"] == pytest.approx(expected["evaluation"], abs=1e-5)
    assert actual["ids"] == expected["ids"]
    for scores, actual_scores in zip(expected["scores"], actual["scores"], strict=True):
        torch.testing.assert_close(
            torch.tensor(actual_scores).softmax(0), torch.tensor(scores).softmax(0), rtol=0, atol=1e-5
        )
    assert actual["gradients"].keys() == expected["gradients"].keys()
    for name, gradient in expected["gradients"].items():
        if name.endswith("mcq_score.bias"):  # it shifts all options equally, so its gradient is only rounding
            continue
        assert gradient.norm() > 1e-4, name
        assert (actual["gradients"][name] - gradient).norm() <= 1e-4 * gradient.norm(), name


def test_the_runs_meet_a_last_step_that_cannot_be_shared_evenly():
    """Otherwise the tests below would not cover the batch that only keeps a process in step."""
    for run in OF_TWO.values():
        shapes = question_set().shapes("shared_prefix")
        batches = [
            list(QuestionBatches(shapes, run.batch, run.tokens, run.accumulation, rank=rank, world=2))
            for rank in range(2)
        ]
        assert len(batches[0]) == len(batches[1])
        picks = [pick for process in batches for batch in process for pick in batch]
        assert sorted(pick.row for pick in picks if pick.counted) == list(range(QUESTIONS))
        assert any(not pick.counted for pick in picks)


def test_one_question_eight_times_is_eight_questions_at_once(one, tmp_path):
    """Guards against a mean of means: the last step of an epoch has five questions, not eight."""
    assert_same(one["size"], train(Run(batch=1, accumulation=8), tmp_path))


@pytest.mark.subprocess
@pytest.mark.parametrize("name", ["size", "tokens"])
def test_two_processes_train_as_one(one, two, name):
    """Guards against averaging losses over processes with different question counts, and against fillers that count."""
    for process in two:
        assert_same(one[name], process[name])


def cli_command(model, output_dir, *more: str) -> list[str]:
    return [
        *("--stage", "mcq", "--model_name_or_path", str(model), "--do_train", "--dataset", "llmscience_sample"),
        *("--do_predict", "--eval_dataset", "llmscience_sample", "--template", "llama2", "--finetuning_type", "lora"),
        *("--output_dir", str(output_dir), "--max_samples", "13", "--max_steps", "10", "--learning_rate", "1e-3"),
        *("--lora_dropout", "0", "--per_device_eval_batch_size", "2", "--logging_steps", "1", "--report_to", "none"),
        *("--save_strategy", "no", *more),
    ]


def predictions(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.subprocess
def test_two_machines_train_as_one(tiny_llama, tmp_path):
    """Two launchers with one rendezvous, as on two machines; only the first one writes the files."""
    alone, both = tmp_path / "alone", tmp_path / "both machines"
    assert main(cli_command(tiny_llama, alone, "--per_device_train_batch_size", "8")) == 0
    words = cli_command(tiny_llama, both, "--per_device_train_batch_size", "1", "--gradient_accumulation_steps", "4")
    port = free_port()
    machines = [
        environment(
            FORCE_TORCHRUN="1",
            NPROC_PER_NODE="1",
            NNODES="2",
            NODE_RANK=str(rank),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for rank in range(2)
    ]
    run_all([[sys.executable, str(ROOT / "src" / "train_bash.py"), *words]] * 2, machines, tmp_path)

    states = [json.loads((folder / "trainer_state.json").read_text()) for folder in (alone, both)]
    losses = [[entry["loss"] for entry in state["log_history"] if "loss" in entry] for state in states]
    assert len(losses[0]) == 10
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    assert [line["id"] for line in predictions(both)] == [f"demo-{row:03}" for row in range(1, 14)]
    for expected, actual in zip(predictions(alone), predictions(both), strict=True):
        assert actual["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)
        assert actual["answer"] == expected["answer"]
    weights = [load_file(folder / "adapter_model.safetensors") for folder in (alone, both)]
    assert weights[0].keys() == weights[1].keys()
    assert any("mcq_head" in name for name in weights[0])
    assert (both / "mcq_config.json").read_text() == (alone / "mcq_config.json").read_text()
    trained = [json.loads((folder / "train_results.json").read_text()) for folder in (alone, both)]
    seen = [round(actual["train_samples_per_second"] * actual["train_runtime"]) for actual in trained]
    assert seen[0] == pytest.approx(seen[1], rel=0.02), "questions of all processes, counted once"
