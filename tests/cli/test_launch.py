"""One process a device, started without a shell."""

from __future__ import annotations

import pytest

from llmtuner.cli import launch
from llmtuner.cli.flags import Flags
from llmtuner.cli.process import LAUNCHED
from llmtuner.errors import UserError

WORDS = ["--stage", "sft", "--default_system", "You are a helpful bot; rm -rf ~", "--output_dir", "two words"]


@pytest.fixture
def started(monkeypatch):
    """Commands that would have been run; torchrun ends with status 3."""
    commands = []

    class Result:
        returncode = 3

    def run(command, check, env):
        assert env[LAUNCHED] == "1", "workers need not repeat what was said"
        commands.append(command)
        return Result()

    monkeypatch.setattr(launch.subprocess, "run", run)
    monkeypatch.setattr("llmtuner.cli.run.prepare", lambda flags, config: None)
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
    assert launch.launch_if_several_devices(Flags({"use_cpu": []}), WORDS) is None


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
    def refuse(flags, config):
        raise UserError("unknown flag")

    monkeypatch.setattr("llmtuner.cli.run.prepare", refuse)
    monkeypatch.setattr(launch, "_count_devices", lambda: 2)
    with pytest.raises(UserError):
        launch.launch_if_several_devices(Flags(), WORDS)
    assert not started
