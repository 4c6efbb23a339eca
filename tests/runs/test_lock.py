"""One run an output folder."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest
from support import ROOT

from llmtuner.errors import UserError
from llmtuner.runs import lock
from llmtuner.runs.lock import LOCK, check_lock, locked, was_training


def test_a_second_run_is_refused_and_told_who_holds_the_folder(tmp_path):
    """Two runs wrote their checkpoints into each other's folders."""
    with locked(tmp_path / "out"):
        for attempt in (lambda: check_lock(tmp_path / "out"), lambda: locked(tmp_path / "out").__enter__()):
            with pytest.raises(UserError, match=rf"another run writes to it \(process {os.getpid()} on "):
                attempt()
    check_lock(tmp_path / "out")
    with locked(tmp_path / "out"):
        pass


def test_looking_creates_nothing(tmp_path):
    check_lock(tmp_path / "nowhere")
    check_lock(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.subprocess
def test_the_lock_of_a_killed_run_is_taken_over(tmp_path):
    code = "import os, sys; from pathlib import Path; from llmtuner.runs.lock import locked\n"
    code += f"with locked(Path({str(tmp_path)!r})): os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src").returncode == -9
    assert json.loads((tmp_path / LOCK).read_text())["pid"] != os.getpid()
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_a_prediction_neither_makes_nor_ends_a_training(tmp_path):
    """After a prediction into the folder, the weights of an interrupted training were used."""
    with locked(tmp_path):
        pass
    assert not was_training(tmp_path)
    for training in (True, False):
        with locked(tmp_path, training=training):
            pass
        assert was_training(tmp_path)


def test_a_mistake_of_the_user_leaves_the_folder_as_it_was(tmp_path):
    """A training that was refused late turned the finished weights of an earlier version into interrupted ones."""
    with pytest.raises(UserError), locked(tmp_path / "new" / "out", training=True):
        raise UserError("refused")
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path):
        pass
    before = (tmp_path / LOCK).read_bytes()
    with pytest.raises(UserError), locked(tmp_path, training=True):
        raise UserError("refused")
    assert (tmp_path / LOCK).read_bytes() == before


class TestWithoutLocks:
    """Some network disks have no locks: the file's time tells whether a run is alive."""

    @pytest.fixture(autouse=True)
    def no_locks(self, monkeypatch):
        def refuse(*_):
            raise OSError(errno.ENOLCK, "no locks available")

        monkeypatch.setattr(lock.fcntl, "flock", refuse)

    def test_a_second_run_is_refused(self, tmp_path):
        with locked(tmp_path), pytest.raises(UserError, match="another run"):
            check_lock(tmp_path)
        check_lock(tmp_path)

    def test_a_lock_is_stale_after_five_minutes(self, tmp_path):
        (tmp_path / LOCK).write_text('{"pid": 1, "host": "a", "start": "then"}')
        with pytest.raises(UserError, match="process 1 on a, started then"):
            check_lock(tmp_path)
        past = (tmp_path / LOCK).stat().st_mtime - 301
        os.utime(tmp_path / LOCK, (past, past))
        with locked(tmp_path):
            pass

    def test_a_training_that_failed_is_remembered_and_its_lock_is_free(self, tmp_path):
        """The lock was emptied at the end, so that weights of a training that failed were taken for finished ones."""
        with pytest.raises(RuntimeError), locked(tmp_path, training=True):
            raise RuntimeError("the disk is full")
        assert was_training(tmp_path)
        with pytest.raises(UserError, match="refused"), locked(tmp_path):
            raise UserError("refused")
        with locked(tmp_path):
            pass
        assert was_training(tmp_path)

    def test_the_time_is_renewed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(lock, "_TOUCH_SECONDS", 0.01)
        with locked(tmp_path):
            past = (tmp_path / LOCK).stat().st_mtime - 301
            os.utime(tmp_path / LOCK, (past, past))
            while (tmp_path / LOCK).stat().st_mtime == past:
                pass
            with pytest.raises(UserError, match="another run"):
                check_lock(tmp_path)


def test_a_deeply_nested_lock_is_a_damaged_one(tmp_path):
    """Python's parser ends in a RecursionError, which is no ValueError."""
    (tmp_path / LOCK).write_text("[" * 100_000)
    assert not was_training(tmp_path)


def test_a_run_that_is_refused_leaves_the_lock_of_the_first_alone(tmp_path, monkeypatch):
    """Started at the same moment, it saw no lock before it tried, and then deleted that of the first run."""
    with locked(tmp_path, training=True):
        monkeypatch.setattr(lock.Path, "exists", lambda path: path.name != LOCK and os.path.exists(path))
        with pytest.raises(UserError, match="another run"), locked(tmp_path):
            pass
        monkeypatch.undo()
        assert was_training(tmp_path)
