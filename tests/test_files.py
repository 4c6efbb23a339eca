"""Files are complete or absent, and digests are correct."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmtuner import files
from llmtuner.files import (
    new_folder,
    open_atomic,
    sha256_of_bytes,
    sha256_of_file,
    sha256_of_json,
    sha256_of_unchanged,
    split_paths,
    temporary_folders,
    write_atomic,
    write_synced,
)

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc", FIPS 180-2


@pytest.mark.parametrize("write", [write_atomic, write_synced])
@pytest.mark.parametrize(
    ("content", "expected"),
    [("α\nb\r\nc\r", "α\nb\r\nc\r".encode()), (b"\x00\xff\n", b"\x00\xff\n"), ("", b"")],
    ids=["text", "bytes", "nothing"],
)
def test_content_is_written_as_it_is(write, content, expected, tmp_path, monkeypatch):
    """Line ends were translated on some systems, so digests differed between systems."""
    monkeypatch.setattr(os, "linesep", "\r\n")
    assert write(tmp_path / "a.txt", content) == tmp_path / "a.txt"
    assert (tmp_path / "a.txt").read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failure_leaves_the_earlier_file_and_nothing_else(step, tmp_path, monkeypatch):
    """A failed write left its temporary file in the output folder forever."""
    target = write_atomic(tmp_path / "a.txt", "before")

    def fail(*_):
        raise OSError("no space left")

    def write():
        with open_atomic(target) as file:
            file.write(b"half")
            if step == "write":
                fail()

    if step != "write":
        monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="no space left"):
        write()
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("write", [write_atomic, write_synced])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_reported_with_the_file(write, number, tmp_path, monkeypatch):
    """ "No space left on device" did not say where: a tool may write to several disks."""

    def fail(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=rf"{os.strerror(number)}: '.*results\.json'"):
        write(tmp_path / "results.json", "{}")


def test_the_content_is_on_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
    """A file that is renamed before its data reaches the disk is empty after a power cut."""
    calls = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *args, name=name, original=original: (calls.append(name), original(*args))[1]
        )
    write_atomic(tmp_path / "a.txt", "text")
    write_synced(tmp_path / "b.txt", "text")
    assert calls == ["fsync", "replace", "fsync"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    """Temporary files were told apart only by the process id, which two threads share."""
    with open_atomic(tmp_path / "a.json") as first, open_atomic(tmp_path / "a.json") as second:
        first.write(b"1")
        second.write(b"2")
        assert list(tmp_path.glob("*.json")) == [], "a search for results met half a file"
    assert (tmp_path / "a.json").read_bytes() == b"1", "the outer block ends last"


def test_a_new_file_has_the_usual_permissions(tmp_path):
    """A file made by tempfile is only readable by its owner, but a results folder is shared."""
    (tmp_path / "usual").write_text("")
    write_atomic(tmp_path / "a.txt", "")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_digests(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of_bytes(b"abc") == sha256_of_file(tmp_path / "abc") == ABC
    assert sha256_of_json({"b": (1, 2), "a": "α"}) == sha256_of_json({"a": "α", "b": [1, 2]})
    assert sha256_of_json({"a": 1}) == sha256_of_bytes(b'{"a": 1}')
    assert sha256_of_json([1, 2]) != sha256_of_json([2, 1])


def fill(out: Path, text: str, *, overwrite: bool = False, fails: bool = False) -> None:
    with new_folder(out, overwrite=overwrite) as folder:
        (folder / "below").mkdir()
        (folder / "below" / "file").write_text(text)
        if fails:
            raise ValueError("stopped")


def test_an_unchanged_file_is_read_once(tmp_path, monkeypatch):
    """A run read its index three times: to check it, for its manifest, and to open it."""
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    reads = []
    monkeypatch.setattr(files, "sha256_of_file", lambda path: reads.append(path) or sha256_of_file(path))
    assert {sha256_of_unchanged(path) for _ in range(3)} == {sha256_of_file(path)}
    assert len(reads) == 1
    path.write_bytes(b"abd")
    os.utime(path, ns=(1, 1))
    assert sha256_of_unchanged(path) == sha256_of_file(path)
    assert len(reads) == 2


def test_a_new_folder_is_there_whole_or_not_at_all(tmp_path):
    """A failed writer left half of a folder, or took the earlier one away."""
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="stopped"):
        fill(out, "1", fails=True)
    assert list(tmp_path.iterdir()) == []
    out.mkdir()  # an empty one may be there
    fill(out, "1")
    with pytest.raises(FileExistsError, match="out: another process has made it meanwhile; choose another folder"):
        fill(out, "2")  # two merges into one folder: the second ended in a bare "[Errno 39] Directory not empty"
    with pytest.raises(ValueError, match="stopped"):
        fill(out, "2", overwrite=True, fails=True)
    assert (out / "below" / "file").read_text() == "1"
    fill(out, "2", overwrite=True)
    assert (out / "below" / "file").read_text() == "2"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.skipif(os.name != "posix", reason="folders are locked with fcntl")
def test_what_a_killed_process_left_of_a_new_folder_is_deleted(tmp_path):
    """A killed conversion left a hidden folder of the model's size for good; one that is being written stays."""
    out, old = tmp_path / "out", time.time() - 3600
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(out)], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    fill(tmp_path / "other", "1")
    assert left.is_dir()
    with new_folder(out) as younger:
        (younger / "file").write_text("2")
        for folder in (left, younger):
            os.utime(folder, (old, old))
        fill(tmp_path / "out", "3", overwrite=True)
        assert not left.exists()
        assert younger.is_dir()
        (tmp_path / "out").rename(tmp_path / "away")
    assert (out / "file").read_text() == "2"


_KILLED = """
import os, signal, sys
from llmtuner.files import new_folder
with new_folder(sys.argv[1]) as folder:
    (folder / "part").write_text("")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_comma_in_the_name_of_a_folder_that_exists_does_not_separate(tmp_path, monkeypatch):
    """`lr=1,rank=2/seed-1` was looked up as the two folders `lr=1` and `rank=2/seed-1`."""
    monkeypatch.chdir(tmp_path)
    for name in ("a,b/c", "a", "d"):
        (tmp_path / name).mkdir(parents=True)
    assert split_paths("a,b/c") == ["a,b/c"]
    assert split_paths("d, a,b/c ,a") == ["d", "a,b/c", "a"]
    assert split_paths("x,y") == ["x", "y"]
    assert split_paths("") == [] == split_paths(" , ")
    assert split_paths("a\0,b") == ["a\0", "b"]


def test_the_temporary_folders_of_a_longer_name_belong_to_that_name(tmp_path):
    """A build of `wiki` deleted the finished index of a build of `wiki.v2` that was just being moved."""
    for name in (".wiki.12-0123abcd", ".wiki.v2.12-0123abcd", ".wiki.12-0123abcd-replaced", ".wiki.notes"):
        (tmp_path / name).mkdir()
    (tmp_path / ".wiki.13-0123abcd").write_text("a file")
    assert [path.name for path in temporary_folders(tmp_path / "wiki")] == [".wiki.12-0123abcd"]
    assert [path.name for path in temporary_folders(tmp_path / "wiki.v2")] == [".wiki.v2.12-0123abcd"]
    (tmp_path / ".w[1].12-0123abcd").mkdir()
    assert [path.name for path in temporary_folders(tmp_path / "w[1]")] == [".w[1].12-0123abcd"]
