"""Builds: equal inputs give equal bytes, a killed build is resumed, and nothing is there half."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from llmtuner.errors import DataError, UserError
from llmtuner.retrieval.encoder import Encoder
from llmtuner.retrieval.index import build, read
from llmtuner.retrieval.index.build import BuildSettings, build_index
from llmtuner.retrieval.search import Index
from llmtuner.runs.lock import locked


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def long_corpus(tmp_path_factory):
    """Twenty documents of a few chunks; some repeat others."""
    rng = random.Random(0)
    words = [f"w{number}" for number in range(400)]
    texts = [". ".join(" ".join(rng.choices(words, k=12)).capitalize() for _ in range(14)) + "." for _ in range(18)]
    texts += texts[:2]
    path = tmp_path_factory.mktemp("corpus") / "long.jsonl"
    path.write_text("".join(json.dumps({"id": f"d{n}", "text": text}) + "\n" for n, text in enumerate(texts)))
    return str(path)


@pytest.fixture(scope="module")
def hybrid(tiny_bert):
    return BuildSettings(retriever="hybrid", encoder=tiny_bert, part=16)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, long_corpus, hybrid):
    """What an uninterrupted build writes."""
    folder = tmp_path_factory.mktemp("whole") / "index"
    build_index([long_corpus], folder, hybrid)
    return contents(folder)


class Killed(BaseException):
    """What a test ends a build with; nothing handles it."""


def kill_at(monkeypatch, module, name, call):
    """Let the so-manieth call of a function end the build before it does anything."""
    original, calls = getattr(module, name), []

    def killing(*args, **kwargs):
        calls.append(name)
        if len(calls) == call:
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, killing)
    return calls


def test_two_builds_are_equal_in_every_byte(tmp_path, long_corpus, hybrid, whole):
    build_index([long_corpus], tmp_path / "again", hybrid)
    assert contents(tmp_path / "again") == whole
    assert {"manifest.json", "chunks.parquet", "vectors.npy", "bm25/data.csc.index.npy"} <= set(whole)
    counts = json.loads(whole["manifest.json"])["counts"]
    assert counts["exact"] > 0
    assert counts["chunks"] > 3 * hybrid.part
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("module", "name", "call"),
    [
        (read, "_write_part", 1),
        (read, "_write_part", 3),
        (read, "write_atomic", 2),  # chunks are written, but not what says so
        (build, "join_files", 1),
        (Encoder, "encode", 3),  # the first call measures the dimensions
        (build, "file_entries", 1),
        (build, "_move", 1),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_killed_build_ends_like_an_uninterrupted_one(
    tmp_path, long_corpus, hybrid, whole, monkeypatch, module, name, call
):
    with monkeypatch.context() as patch:
        kill_at(patch, module, name, call)
        patch.setattr(build.shutil, "rmtree", lambda *args, **kwargs: None)  # a killed process removes nothing
        with pytest.raises(Killed):
            build_index([long_corpus], tmp_path / "cut", hybrid)
    with pytest.raises(UserError, match="did not finish; run the same"):
        Index.open(tmp_path / "cut")
    build_index([long_corpus], tmp_path / "cut", hybrid)
    assert contents(tmp_path / "cut") == whole
    assert not list(tmp_path.glob(".*"))


def test_what_was_finished_is_not_done_again(tmp_path, long_corpus, hybrid, monkeypatch):
    with monkeypatch.context() as patch:
        kill_at(patch, Encoder, "encode", 4)
        patch.setattr(build.shutil, "rmtree", lambda *args, **kwargs: None)
        with pytest.raises(Killed):
            build_index([long_corpus], tmp_path / "index", hybrid)
    encoded = kill_at(monkeypatch, Encoder, "encode", 99)
    monkeypatch.setattr(read, "read_corpus", lambda *args: pytest.fail("the corpus was read again"))
    built = build_index([long_corpus], tmp_path / "index", hybrid)
    parts = -(-built.manifest.chunks // hybrid.part)
    assert len(encoded) == 1 + parts - 2  # the dimensions, and the parts that were missing


def test_parts_of_other_inputs_are_not_used(tmp_path, long_corpus, hybrid, corpus, monkeypatch):
    with monkeypatch.context() as patch:
        kill_at(patch, build, "_move", 1)
        patch.setattr(build.shutil, "rmtree", lambda *args, **kwargs: None)
        with pytest.raises(Killed):
            build_index([long_corpus], tmp_path / "index", hybrid)
    build_index([str(corpus)], tmp_path / "index", hybrid)
    build_index([str(corpus)], tmp_path / "fresh", hybrid)
    assert contents(tmp_path / "index") == contents(tmp_path / "fresh")


def dangling(path):
    path.symlink_to("nowhere")


def test_an_index_of_the_same_inputs_is_left_alone_and_another_refused(tmp_path, corpus, long_corpus):
    first = build_index([str(corpus)], tmp_path / "index")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").rglob("*")}
    again = build_index([str(corpus)], tmp_path / "index")
    assert (again.manifest, again.seconds) == (first.manifest, {})
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "index").rglob("*")} == before
    with pytest.raises(UserError, match="is an index of other inputs; choose another folder, or pass --overwrite"):
        build_index([long_corpus], tmp_path / "index")
    assert len(Index.open(tmp_path / "index")) == first.manifest.chunks
    build_index([long_corpus], tmp_path / "index", overwrite=True)
    assert len(Index.open(tmp_path / "index")) != first.manifest.chunks


def test_a_damaged_index_is_said_to_be_one(tmp_path, corpus):
    """Whoever opened it was told to build it again, and the build took it for any folder that is not empty."""
    build_index([str(corpus)], tmp_path / "index")
    (tmp_path / "index" / "chunks.parquet").unlink()
    with pytest.raises(UserError, match=r"is an index that is damaged or of another version; .*--overwrite"):
        build_index([str(corpus)], tmp_path / "index")
    build_index([str(corpus)], tmp_path / "index", overwrite=True)
    Index.open(tmp_path / "index", thorough=True)


@pytest.mark.skipif(os.name == "nt", reason="no pipes with a name")
@pytest.mark.parametrize(("make", "message"), [(os.mkfifo, "is not a regular file"), (dangling, "not found")])
def test_a_pipe_and_a_link_to_nothing_are_said_to_be_that(tmp_path, make, message):
    """The digest of a pipe was waited for without end."""
    make(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match=message):
        build_index([str(tmp_path)], tmp_path / "index")


def test_a_folder_that_is_no_index_is_never_replaced(tmp_path, corpus):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="mine: is not empty and no index, so it is not replaced"):
            build_index([str(corpus)], tmp_path / "mine", overwrite=overwrite)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        build_index([str(corpus)], tmp_path / "file", overwrite=True)
    assert contents(tmp_path / "mine") == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize("is_index", [False, True])
def test_what_is_no_part_of_an_index_is_never_deleted(is_index, tmp_path, corpus, long_corpus):
    """--overwrite deleted a built data set, with a manifest.json, too, and a run that was trained into an index."""
    mine = tmp_path / "mine"
    if is_index:
        build_index([str(corpus)], mine)
    else:
        mine.mkdir()
        (mine / "manifest.json").write_text('{"settings": {}, "files": {}}')
    (mine / "llmscience.jsonl").write_text("hours of work")
    before = contents(mine)
    with pytest.raises(
        UserError, match=r"holds .llmscience.jsonl., which is no part of an index, so it is not replaced"
    ):
        build_index([long_corpus], mine, overwrite=True)
    assert contents(mine) == before


def test_two_builds_do_not_mix(tmp_path, corpus):
    with (
        locked(build.building_folder(tmp_path / "index")),
        pytest.raises(
            UserError, match=r"--out .*index: another run writes to it .*; wait for it, or pass another --out"
        ),
    ):
        build_index([str(corpus)], tmp_path / "index")
    build_index([str(corpus)], tmp_path / "index")


def test_a_full_disk_is_a_message_and_the_build_is_resumed(tmp_path, long_corpus, hybrid, monkeypatch):
    def full(folder, number, vectors):
        raise OSError(28, "No space left on device", str(folder / "vectors-00000.npy"))

    with monkeypatch.context() as patch:
        patch.setattr("llmtuner.retrieval.retrievers.dense.write_part", full)
        with pytest.raises(UserError, match=r"No space left on device.*free some space.*resumes"):
            build_index([long_corpus], tmp_path / "index", hybrid)
    assert not (tmp_path / "index").exists()
    monkeypatch.setattr(read, "read_corpus", lambda *args: pytest.fail("the corpus was read again"))
    build_index([long_corpus], tmp_path / "index", hybrid)


def test_a_mistake_in_the_corpus_leaves_nothing(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"id": "1", "text": "fine"}\n{"id": "2", "text": \n')
    with pytest.raises(UserError, match=r"c\.jsonl:2"):
        build_index([str(tmp_path / "c.jsonl")], tmp_path / "deep" / "index")
    assert not list(tmp_path.glob("**/.*"))
    assert not (tmp_path / "deep" / "index").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"retriever": "bm52"}, "choose from: bm25, dense, hybrid. Did you mean bm25"),
        ({"words": 0}, "--words 0: expected at least 1"),
        ({"overlap": -1}, "--overlap -1: expected at least 0"),
        ({"ann_from": 0}, "--ann_from 0"),
        ({"encoder": "x"}, "--retriever bm25 uses none"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(UserError, match=message):
        BuildSettings(**settings)


def test_too_many_chunks_end_a_build_before_any_is_encoded(tmp_path, long_corpus, tiny_bert, monkeypatch):
    encoded = kill_at(monkeypatch, Encoder, "encode", 99)
    settings = BuildSettings(retriever="dense", encoder=tiny_bert, ann_from=10)
    with pytest.raises(UserError, match="more than --ann_from 10"):
        build_index([long_corpus], tmp_path / "index", settings)
    assert len(encoded) == 1
    assert os.listdir(tmp_path) == []


def test_a_moved_index_works(tmp_path, corpus):
    build_index([str(corpus)], tmp_path / "index")
    shutil.move(tmp_path / "index", tmp_path / "moved")
    assert Index.open(tmp_path / "moved", thorough=True).search(["liver"], 1)[0][0].chunk_id == "liver#0"
