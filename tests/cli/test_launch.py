"""One process per device, started without a shell."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from support import ROOT

from llmtuner.cli import launch
from llmtuner.cli.flags import Flags
from llmtuner.cli.process import LAUNCHED
from llmtuner.cli.words import Words
from llmtuner.errors import UserError

WORDS = ["--stage", "sft", "--default_system", "You are a helpful bot; rm -rf ~", "--output_dir", "two words"]


@pytest.fixture
def started(monkeypatch):
    """Commands that would have been run; torchrun ends with status 3."""
    commands = []

    def run(command, environment):
        assert environment[LAUNCHED] == "1", "workers need not repeat the notices"
        commands.append(command)
        return 3

    monkeypatch.setattr(launch, "_run", run)
    monkeypatch.setattr("llmtuner.cli.run.read_values", lambda flags: {})
    for name in ("LOCAL_RANK", "FORCE_TORCHRUN", "USE_RAY", "NPROC_PER_NODE", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    return commands


@pytest.mark.parametrize("devices", [0, 1])
def test_one_device_needs_no_torchrun(started, monkeypatch, devices):
    monkeypatch.setattr(launch, "_count_devices", lambda: devices)
    assert launch.launch_if_several_devices(Flags(), WORDS) is None
    assert not started


def test_two_devices_start_torchrun_and_its_status_holds(started, monkeypatch):
    monkeypatch.setattr(launch, "_count_devices", lambda: 2)
    assert launch.launch_if_several_devices(Flags(), WORDS) == 3
    [command] = started
    assert "--nproc_per_node=2" in command
    assert command[-len(WORDS) :] == WORDS, "upstream's launcher splits arguments at blanks"


@pytest.mark.parametrize(("name", "value"), [("LOCAL_RANK", "1"), ("LOCAL_RANK", "0")])
def test_a_worker_does_not_start_workers(started, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(launch, "_count_devices", lambda: 8)
    assert launch.launch_if_several_devices(Flags(), WORDS) is None
    assert not started


def test_cpu_runs_stay_one_process(started, monkeypatch):
    monkeypatch.setattr(launch, "_count_devices", lambda: 8)
    assert launch.launch_if_several_devices(Flags.of(Words({"use_cpu": []})), WORDS) is None


def test_the_environment_decides_as_in_upstreams_launcher(started, monkeypatch):
    monkeypatch.setattr(launch, "_count_devices", lambda: 1)
    for name, value in {"FORCE_TORCHRUN": "1", "NNODES": "2", "NODE_RANK": "1", "MASTER_PORT": "29501"}.items():
        monkeypatch.setenv(name, value)
    launch.launch_if_several_devices(Flags(), WORDS)
    assert {"--nnodes=2", "--node_rank=1", "--master_port=29501", "--nproc_per_node=1"} <= set(started[0])


def test_ray_would_pass_the_patches_by(started, monkeypatch):
    monkeypatch.setenv("USE_RAY", "1")
    with pytest.raises(UserError, match="Ray"):
        launch.launch_if_several_devices(Flags(), WORDS)


def test_a_mistake_is_found_before_workers_start(started, monkeypatch):
    def refuse(flags):
        raise UserError("unknown flag")

    monkeypatch.setattr("llmtuner.cli.run.read_values", refuse)
    monkeypatch.setattr(launch, "_count_devices", lambda: 2)
    with pytest.raises(UserError):
        launch.launch_if_several_devices(Flags(), WORDS)
    assert not started


@pytest.mark.subprocess
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("handler", ["signal.SIG_DFL", "lambda *_: sys.exit(1)"], ids=["dies", "exits as torchrun"])
def test_a_request_to_stop_reaches_the_workers(tmp_path, number, handler):
    """`kill` and `kill -INT` ended only the launcher; torchrun and its workers kept running and held the devices.

    Later the status was torchrun's 1, as of a failed run, although a checkpoint was saved.
    """
    ready = tmp_path / "ready"
    worker = f"import pathlib, signal, sys, time; signal.signal({number:d}, {handler}); "
    worker += f"pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    code = "import os, sys; from llmtuner.cli.launch import _run; "
    code += f"sys.exit(_run([sys.executable, '-c', {worker!r}], os.environ))"
    launcher = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT / "src")
    while not ready.exists():
        assert launcher.poll() is None
        time.sleep(0.05)
    launcher.send_signal(number)
    assert launcher.wait(timeout=30) == 128 + number, "it waited for the worker, which was told to stop"
