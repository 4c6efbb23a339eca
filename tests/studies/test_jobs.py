"""Jobs of a study: commands one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtuner.cli.words import Words
from llmtuner.studies import training
from llmtuner.studies.jobs import MISTAKE, Command, Ended, Job, run_jobs


@pytest.fixture
def program(tmp_path) -> Path:
    """A command that ends with the status that is its first word."""
    path = tmp_path / "program.py"
    path.write_text("import sys; print(*sys.argv[1:]); sys.exit(int(sys.argv[1]))")
    return path


@pytest.mark.parametrize(("is_done", "status", "logs"), [(True, 0, ["0", "2"]), (False, MISTAKE, ["2"])])
def test_a_command_that_is_refused_because_its_work_is_done_counts_as_done(program, is_done, status, logs, capsys):
    """The training of a killed study lived on and finished; the next start stopped with advice to train more epochs."""
    asked: list[bool] = []

    def ask() -> bool:
        asked.append(is_done)
        return is_done

    training = Command(["2"], program.with_name("2.log"), program, is_done=ask)
    job = Job("fold-0", [training, Command(["0"], program.with_name("0.log"), program)])
    ends: list[Ended] = []
    run_jobs([job], ends.append)
    assert [end.status for end in ends] == [status]
    assert sorted(path.stem for path in program.parent.glob("*.log")) == logs
    assert asked == [is_done], "once"
    assert ("fold-0: taken up" in capsys.readouterr().err) is is_done


def test_a_failure_is_one_whatever_is_done(program):
    ends: list[Ended] = []
    run_jobs([Job("x", [Command(["1"], program.with_name("1.log"), program, is_done=lambda: True)])], ends.append)
    assert [end.status for end in ends] == [1]


def test_a_training_is_done_when_its_folder_holds_a_finished_run(tmp_path, monkeypatch):
    held: list[object] = [None]
    monkeypatch.setattr(training, "finished_run", lambda folder: (held[-1], ""))
    words = Words({"do_train": [], "do_predict": [], "output_dir": [str(tmp_path)]})
    train, predict = training.job_of("seed-1", words, tmp_path).commands
    assert train.is_done is not None
    assert not train.is_done()
    held.append("a manifest")
    assert train.is_done()
    assert predict.is_done is None, "a prediction that is refused is a mistake"
