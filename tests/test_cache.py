"""The folder for what is made once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from llmtuner.cache import cache_folder, cached_folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMTUNER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def has_file(folder: Path) -> bool:
    return (folder / "file").is_file()


@pytest.mark.parametrize(
    ("ours", "shared", "expected"),
    [
        ("/ours", "/shared", "/ours"),
        ("~/ours", None, "{home}/ours"),
        (" ", "/shared", "/shared/llmtuner"),
        (None, "/shared", "/shared/llmtuner"),
        (None, "relative", "{home}/.cache/llmtuner"),
        (None, None, "{home}/.cache/llmtuner"),
    ],
)
def test_the_folder_follows_the_environment(monkeypatch, tmp_path, ours, shared, expected):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in (("LLMTUNER_CACHE", ours), ("XDG_CACHE_HOME", shared)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected.format(home=tmp_path))


def test_two_at_the_same_time_build_it_once(cache):
    """Each converted the model, and one deleted what the other was reading."""
    started, builds, folders = threading.Event(), [], []

    def build(folder: Path) -> None:
        builds.append(folder)
        started.wait(5)
        (folder / "file").write_text("content")

    threads = [
        threading.Thread(target=lambda: folders.append(cached_folder("name", build, has_file))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    started.set()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert folders == [cache / "name"] * 3
    assert (cache / "name" / "file").read_text() == "content"


def test_a_build_that_fails_leaves_no_folder_and_what_a_killed_one_left_is_deleted(cache):
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        cached_folder("name", fail, has_file)
    assert [path.name for path in cache.iterdir()] == [".name.lock"]
    (cache / ".name.77-0123abcd").mkdir()
    (cache / ".other.77-0123abcd").mkdir()
    cached_folder("name", lambda folder: (folder / "file").touch(), has_file)
    assert {path.name for path in cache.iterdir()} == {".name.lock", ".other.77-0123abcd", "name"}


def test_a_folder_that_is_not_whole_is_built_again(cache):
    (cache / "name").mkdir(parents=True)
    (cache / "name" / "half").touch()
    cached_folder("name", lambda folder: (folder / "file").touch(), has_file)
    assert [path.name for path in (cache / "name").iterdir()] == ["file"]
    cached_folder("name", lambda folder: pytest.fail("it is whole"), has_file)
