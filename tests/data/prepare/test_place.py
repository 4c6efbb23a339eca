"""The output folder: rejected early, replaced as a whole, and cleaned up after an interrupted build."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import pytest
from planted import read
from support import load_script

from llmtuner.data.prepare import BuildSettings, place, prepare_llmscience
from llmtuner.errors import UserError


@pytest.fixture
def out(raw, tmp_path) -> Path:
    """An earlier build."""
    prepare_llmscience(raw, tmp_path / "out", BuildSettings(valid_size=1))
    return tmp_path / "out"


def killed_build(raw: Path, out: Path, rename: int) -> None:
    """Build in a process that is killed at the n-th rename."""
    child = os.fork()
    if not child:
        signal.alarm(300)  # a child that hangs would hang the tests
        original, calls = os.rename, []

        def counted(source, target):
            calls.append(target)
            if len(calls) == rename:
                os.kill(os.getpid(), signal.SIGKILL)
            original(source, target)

        os.rename = counted
        try:
            prepare_llmscience(raw, out, BuildSettings(valid_size=2), overwrite=True)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def beside(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.iterdir() if path.name.startswith("."))


@pytest.mark.parametrize(
    ("rename", "leftovers", "valid", "warned"), [(1, 1, 1, False), (2, 2, 1, True), (3, 1, 2, False)]
)
def test_after_a_kill_the_next_build_cleans_up(rename, leftovers, valid, warned, raw, out, caplog):
    """Folders stayed forever. After a kill between two renames no build was left: the old one had a hidden name."""
    killed_build(raw, out, rename)
    assert len(beside(out)) == leftovers
    assert out.exists() == (rename != 2)
    with caplog.at_level(logging.WARNING), pytest.raises(UserError, match="not empty; pass --overwrite"):
        prepare_llmscience(raw, out)
    assert beside(out) == []
    assert len(read(out, "llmscience_valid")) == valid, "the earlier build, or the new one where it was in place"
    assert [record.getMessage() for record in caplog.records] == [
        f"{out}: restored the earlier build, which an interrupted build had renamed"
    ] * warned


def test_a_build_is_replaced_through_itself(raw, out):
    """The path led through the renamed folder, so neither build was reachable."""
    prepare_llmscience(raw, out / ".." / "out", BuildSettings(valid_size=2), overwrite=True)
    assert len(read(out, "llmscience_valid")) == 2
    assert beside(out) == []
    (out.parent / "link").symlink_to(out)
    with pytest.raises(UserError, match="is not a folder"):
        prepare_llmscience(raw, out / ".." / "link", overwrite=True)


def test_foreign_folders_beside_it_stay(raw, out):
    """A folder of a running build is locked; any other name or content is not ours."""
    foreign = out.with_name(".out.build-abcdefgh")
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    out.with_name(".out.build-settings.earlier").mkdir()
    (out.with_name(".out.build-settings.earlier") / "notes.txt").write_text("mine")
    out.with_name(".out.other").mkdir()
    os.symlink(out, out.with_name(".out.build-12345678"))
    with place.put_in_place(out.with_name("out")) as running:
        (running / "manifest.json").write_text("{}")
        place.clear_leftovers(out)
        assert sorted(
            [".out.build-12345678", foreign.name, ".out.build-settings.earlier", ".out.other", running.name]
        ) == (beside(out))
    assert out.is_dir()
    assert running.name not in beside(out)


def test_an_earlier_build_never_takes_the_place_of_something_else(raw, out):
    """A kill between the renames, after which the user puts other files there."""
    killed_build(raw, out, 2)
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"contains notes\.txt|not empty"):
        prepare_llmscience(raw, out)
    assert [name.endswith(".earlier") for name in beside(out)] == [True], "kept: it is the only whole build"
    (out / "notes.txt").unlink()
    with pytest.raises(UserError, match="not empty"):
        prepare_llmscience(raw, out)
    assert len(read(out, "llmscience_valid")) == 1
    assert beside(out) == []


@pytest.fixture
def _listening():
    """Ctrl-C reaches the process, which a shell lets none that it runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_listening")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_request_to_stop_is_one_line_and_leaves_nothing(number, status, raw, out, monkeypatch, capsys):
    """Ctrl-C gave a traceback, and SIGTERM left a folder beside the output forever."""
    main = load_script("prepare_llmscience").main
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(os, "fsync", lambda _: os.kill(os.getpid(), number))
    assert main(["--raw", str(raw), "--out", str(out), "--overwrite"]) == status
    assert capsys.readouterr().err == "interrupted\n"
    assert beside(out) == []
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert signal.getsignal(signal.SIGTERM) is handler


def test_an_unwritable_folder_is_rejected_before_anything_is_read(raw, tmp_path, monkeypatch):
    """Working directories and mount points failed with EBUSY after all the work; a bad parent gave status 1."""
    monkeypatch.setattr("llmtuner.data.prepare.find._files", lambda _: pytest.fail("the files are read"))
    current, mount = tmp_path / "here", tmp_path / "mount"
    current.mkdir()
    mount.mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(current)
    for out in (".", str(current), "../here"):
        with pytest.raises(UserError, match=r"is the folder that this command runs in.*; pass .*built"):
            prepare_llmscience(raw, out)
    with pytest.raises(UserError, match=r"--out .*/file/out: .*/file is not writable \(Not a directory\)"):
        prepare_llmscience(raw, tmp_path / "file" / "out")
    with pytest.raises(UserError, match=r"is not writable .*File name too long"):
        prepare_llmscience(raw, tmp_path / ("x" * 240))
    with pytest.raises(UserError, match="--raw: no folder is named"):
        prepare_llmscience("", tmp_path / "out")
    with pytest.raises(UserError, match="--out: no folder is named"):
        prepare_llmscience(raw, " ")
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == mount)
    with pytest.raises(UserError, match="is a mount point"):
        prepare_llmscience(raw, mount)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "here", "mount", "raw"], "nothing was written"
