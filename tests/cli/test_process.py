"""Which process speaks, locks and writes for all."""

from __future__ import annotations

import pytest

from llmtuner.cli.flags import Flags
from llmtuner.cli.main import main
from llmtuner.cli.preflight import preflight
from llmtuner.cli.process import is_first_process
from llmtuner.cli.words import Words
from llmtuner.errors import UserError
from llmtuner.runs.lock import locked


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        ({"RANK": "1"}, True),
        ({"RANK": "none"}, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "1", "LOCAL_RANK": "0"}, False),
    ],
)
def test_a_rank_without_torchrun_does_not_silence_the_only_process(variables, first, monkeypatch):
    """A job system sets RANK, too: a training without lock, manifest and messages ended with status 0."""
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() is first


@pytest.mark.parametrize(("rank", "local", "said"), [("8", "0", True), ("9", "1", False), ("0", "0", True)])
def test_a_mistake_is_said_once_on_each_machine(rank, local, said, monkeypatch, capsys):
    """A model that the second machine lacks ended the run there with status 2 and without a word."""
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("LOCAL_RANK", local)
    monkeypatch.setenv("WORLD_SIZE", "16")
    assert main(["--stage", "mcq", "--model_name_or_path", "/models/nope", "--do_train"]) == 2
    assert ("error: " in capsys.readouterr().err) is said


def test_a_lock_that_the_first_process_has_taken_stops_no_other_process(tiny_llama, tmp_path, monkeypatch):
    """A process that was slow to start refused its own run, because the first one had the lock by then."""
    words = ["--stage", "mcq", "--model_name_or_path", str(tiny_llama), "--do_train", "--dataset", "llmscience_sample"]
    flags = Flags.of(Words.from_argv([*words, "--template", "llama2", "--output_dir", str(tmp_path)]))
    with locked(tmp_path, training=True, flag="output_dir"):
        with pytest.raises(UserError, match="another run"):
            preflight(flags)
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("LOCAL_RANK", "1")
        assert preflight(flags).flags["output_dir"] == str(tmp_path)
