"""Messages about a disk that takes no more."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace

import pytest

from llmtuner.runs import disk
from llmtuner.runs.disk import disk_full, is_full

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EFBIG, "File too large"), "a file is larger than the disk of"),
        (RuntimeError("Error while serializing: I/O error: File too large (os error 27)"), "(`ulimit -f`)"),
        (FULL, "no space left on the disk of"),
    ],
)
def test_what_another_package_says_is_translated(error, message, tmp_path, monkeypatch):
    """A file over the limit ended in a traceback."""
    monkeypatch.setattr(disk, "_free", lambda _: 10)
    assert is_full(error)
    assert message in disk_full(str(tmp_path), error)


@pytest.mark.parametrize(
    ("words", "free", "message"),
    [
        ("[enforce fail at inline_container.cc:672] . unexpected pos 61312 vs 61204", 75 << 30, "to its end"),
        ("PytorchStreamWriter failed writing file data/7: file write failed", 75 << 30, "to its end"),
        ("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0", 10, "no space left on the disk of"),
        ("Disk quota exceeded (os error 122)", 75 << 30, "and at quotas"),
    ],
)
def test_a_file_that_was_cut_on_a_disk_with_space_is_translated(words, free, message, tmp_path, monkeypatch):
    """torch does not say that a limit of the disk or the shell stopped it: optimizer.pt ended in a traceback."""
    monkeypatch.setattr(disk, "_free", lambda _: free)
    assert is_full(RuntimeError(words))
    assert message in disk_full(str(tmp_path), RuntimeError(words))


def test_a_damaged_file_that_is_read_is_no_full_disk():
    assert not is_full(RuntimeError("PytorchStreamReader failed reading zip archive: invalid header"))


def test_a_prediction_has_no_checkpoints(tmp_path, monkeypatch):
    """It was told to keep fewer of them, and that it resumes from one."""
    monkeypatch.setattr(disk, "_free", lambda _: 10)
    assert "--save_total_limit" in disk_full(str(tmp_path), FULL)
    message = disk_full(str(tmp_path), FULL, trains=False)
    assert "checkpoint" not in message
    assert message.endswith("or pass another --output_dir. The same command then predicts again")


def test_an_empty_disk_is_not_blamed(tmp_path, monkeypatch):
    """Output that was redirected to a full disk: "no space left on the disk of OUT (75,604.0 MB free)"."""
    monkeypatch.setattr(disk, "_free", lambda _: 75 << 30)
    assert "but not on the disk of" in disk_full(str(tmp_path / "new"), FULL)


def test_a_disk_without_room_for_more_files_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_free", lambda _: 41 << 20)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_files=14, f_favail=0))
    assert "MB free, but no more files fit)" in disk_full(str(tmp_path), FULL)
