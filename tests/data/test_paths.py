"""Folders and patterns: which files a path stands for."""

from __future__ import annotations

import json
import os
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmtuner.data.collect import collect
from llmtuner.data.digest import data_digest
from llmtuner.data.load import inspect_questions, read_questions
from llmtuner.data.paths import data_files, matching_paths
from llmtuner.data.registry import find_source
from llmtuner.errors import DataError


def rows(*names: str) -> list[dict]:
    return [{"id": name, "prompt": f"{name}?", "A": "a", "B": "b", "answer": "A"} for name in names]


def parquet(path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows(*names)), path)


def jsonl(path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(*names)))


def saved(folder, *shards: tuple[str, ...]) -> None:
    """A folder as datasets' save_to_disk leaves it."""
    folder.mkdir(parents=True)
    names = [f"data-{number:05d}-of-{len(shards):05d}.arrow" for number in range(len(shards))]
    for name, ids in zip(names, shards, strict=True):
        table = pa.Table.from_pylist(rows(*ids))
        with pa.ipc.new_stream(str(folder / name), table.schema) as writer:
            writer.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text("{}")


def ids(path) -> list[str]:
    return [question.id for question in read_questions(path, purpose="train").questions]


def refusal(path) -> str:
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="train")
    return str(error.value)


def advised(message: str) -> list[str]:
    """The paths of a message's "choose from", without quotes."""
    return re.split(r", ", message.split("choose from ")[1].replace("'", ""))


def test_a_saved_data_set_is_read_in_the_order_of_its_shards(tmp_path):
    saved(tmp_path / "exam", ("1", "2"), ("3",))
    assert ids(tmp_path / "exam") == ["1", "2", "3"]
    assert [q.line for q in inspect_questions(tmp_path / "exam").questions] == [1, 2, 3]


def test_what_the_library_itself_saves_is_read(tmp_path):
    import datasets

    datasets.Dataset.from_list(rows("1", "2", "3")).select([2, 0]).save_to_disk(tmp_path / "one")
    assert ids(tmp_path / "one") == ["3", "1"]
    split = datasets.Dataset.from_list(rows("1"))
    test_split = datasets.Dataset.from_list(rows("2"))
    datasets.DatasetDict({"valid": split, "test": test_split}).save_to_disk(tmp_path / "two")
    assert [ids(path) for path in advised(refusal(tmp_path / "two"))] == [["1"], ["2"]]
    datasets.DatasetDict({"test": test_split, "train": split}).save_to_disk(tmp_path / "three")
    assert ids(tmp_path / "three") == ["1"], "the training split, and a warning that names the other"
    [warning] = read_questions(tmp_path / "three", purpose="train").warnings
    assert f"the split train of the folder is read; for another one, give {tmp_path / 'three' / 'test'}" in str(warning)
    (tmp_path / "outer").mkdir()
    (tmp_path / "three").rename(tmp_path / "outer" / "three")  # there, the other split was left out without a word
    [warning] = read_questions(tmp_path / "outer", purpose="train").warnings
    assert f"for another one, give {tmp_path / 'outer' / 'three' / 'test'}" in str(warning)
    assert read_questions(tmp_path / "outer" / "three" / "train", purpose="train").warnings == ()
    datasets.DatasetDict({"train": split}).save_to_disk(tmp_path / "only")
    assert ids(tmp_path / "only") == ["1"]


def test_a_missing_shard_is_not_a_smaller_data_set(tmp_path):
    saved(tmp_path / "exam", ("1",), ("2",))
    (tmp_path / "exam" / "data-00001-of-00002.arrow").unlink()
    assert "is not complete: data-00001-of-00002.arrow is missing" in refusal(tmp_path / "exam")
    parquet(tmp_path / "hub" / "train-00000-of-00003.parquet", "1")
    parquet(tmp_path / "hub" / "train-00002-of-00003.parquet", "2")
    assert "1 of 3 files" in refusal(tmp_path / "hub")
    assert "the first is 00001" in refusal(tmp_path / "hub")


@pytest.mark.parametrize("other", ["train-00000-of-00001", "train", "train-7"])
def test_a_split_that_was_uploaded_twice_is_not_read_twice(tmp_path, other):
    """Each of its questions counted twice, without a word."""
    for number, name in enumerate(["1", "2"]):
        parquet(tmp_path / "hub" / f"train-0000{number}-of-00002.parquet", name)
    assert ids(tmp_path / "hub") == ["1", "2"]
    parquet(tmp_path / "hub" / f"{other}.parquet", "1", "2")
    assert "holds one split twice" in refusal(tmp_path / "hub")


@pytest.mark.parametrize("name", ["../secret.arrow", "/etc/passwd", "..", 7, "a\\b"])
def test_a_state_file_cannot_lead_out_of_its_folder(tmp_path, name):
    saved(tmp_path / "exam", ("1",))
    (tmp_path / "exam" / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    assert "must list names in this folder" in refusal(tmp_path / "exam")


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, "\xff"])
def test_a_damaged_state_file(tmp_path, content):
    saved(tmp_path / "exam", ("1",))
    (tmp_path / "exam" / "state.json").write_bytes(content.encode("latin-1"))
    assert "state.json" in refusal(tmp_path / "exam")


def test_a_folder_of_the_hub_with_one_split(tmp_path):
    parquet(tmp_path / "hub" / "data" / "train-00001-of-00002.parquet", "3")
    parquet(tmp_path / "hub" / "data" / "train-00000-of-00002.parquet", "1", "2")
    (tmp_path / "hub" / "README.md").write_text("# A data set")
    (tmp_path / "hub" / ".git").mkdir()
    assert ids(tmp_path / "hub") == ["1", "2", "3"]


@pytest.mark.parametrize("layout", ["files", "shards", "folders", "types"])
def test_several_splits_are_named_and_each_name_can_be_given(tmp_path, layout):
    """Training and test questions in one table would be a leak."""
    hub = tmp_path / "hub"
    if layout == "files":
        jsonl(hub / "train.jsonl", "1")
        jsonl(hub / "test.jsonl", "2")
    elif layout == "shards":
        for number in "01":
            parquet(hub / "data" / f"train-0000{number}-of-00002.parquet", f"1{number}")
        parquet(hub / "data" / "test-00000-of-00001.parquet", "2")
    elif layout == "types":
        jsonl(hub / "train.jsonl", "1")
        parquet(hub / "train.parquet", "1")
    else:
        parquet(hub / "ARC-Easy" / "test-00000-of-00001.parquet", "1")
        parquet(hub / "ARC-Challenge" / "test-00000-of-00001.parquet", "2")
    message = refusal(hub)
    assert "expected one; choose from" in message
    sets = collect(advised(message), str(tmp_path))
    assert len(sets) == 2
    assert all(sets.values())


def test_files_beside_folders_of_files_are_ambiguous(tmp_path):
    jsonl(tmp_path / "hub" / "test.jsonl", "1")
    jsonl(tmp_path / "hub" / "old" / "train.jsonl", "2")
    assert "data files and folders of data files" in refusal(tmp_path / "hub")


def test_parts_with_different_columns_or_types(tmp_path):
    parquet(tmp_path / "hub" / "train-00000-of-00002.parquet", "1")
    table = pa.Table.from_pylist([{**rows("2")[0], "context": "c"}])
    pq.write_table(table, tmp_path / "hub" / "train-00001-of-00002.parquet")
    assert "'context' is in one of them only" in refusal(tmp_path / "hub")
    table = pa.Table.from_pylist([{**rows("2")[0], "id": 2}])
    pq.write_table(table, tmp_path / "hub" / "train-00001-of-00002.parquet")
    assert "column 'id' is int64 in train-00001" in refusal(tmp_path / "hub")


def test_a_change_of_any_file_is_noticed(tmp_path):
    """The folder's own time does not change when a file in it does."""
    hub = tmp_path / "hub"
    jsonl(hub / "part-0.jsonl", "1")
    jsonl(hub / "part-1.jsonl", "2")
    before, digest = ids(hub), data_digest([str(hub)], str(tmp_path))
    jsonl(hub / "part-1.jsonl", "22")
    os.utime(hub, (0, 0))
    assert (before, ids(hub)) == (["1", "2"], ["1", "22"])
    assert data_digest([str(hub)], str(tmp_path)) != digest


def test_a_pattern_gives_its_files_in_order(tmp_path, monkeypatch):
    for name in ("part-2", "part-1", "other"):
        jsonl(tmp_path / "data" / f"{name}.jsonl", name)
    monkeypatch.chdir(tmp_path)
    source = find_source("data/part-*.jsonl", str(tmp_path))
    assert [file.name for file in source.files] == ["part-1.jsonl", "part-2.jsonl"]
    [questions] = collect(["data/part-*.jsonl"], str(tmp_path)).values()
    assert [question.id for question in questions] == ["part-1", "part-2"]


def test_a_path_that_exists_is_no_pattern(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jsonl(tmp_path / "part[1].jsonl", "brackets")
    jsonl(tmp_path / "part1.jsonl", "1")
    assert [path.name for path in matching_paths("part[1].jsonl")] == ["part[1].jsonl"]


def test_a_pattern_without_a_match_names_the_nearest_files(tmp_path, monkeypatch):
    jsonl(tmp_path / "data" / "part-1.jsonl", "1")
    monkeypatch.chdir(tmp_path)
    for pattern in ("data/prat-*.jsonl", str(tmp_path / "data" / "prat-?.jsonl")):
        with pytest.raises(DataError, match=r"no file matches.*did you mean part-1.jsonl\?"):
            find_source(pattern, str(tmp_path))
    with pytest.raises(DataError, match=r"no file matches"):
        find_source("nowhere/*.jsonl", str(tmp_path))


def test_the_name_of_a_column_is_no_pattern():
    [path] = matching_paths("exam.csv?answer=key&options=a|b")
    assert path.name.startswith("exam.csv?answer")


def test_a_file_stands_for_itself(tmp_path):
    jsonl(tmp_path / "exam.jsonl", "1")
    assert data_files(tmp_path / "exam.jsonl") == (tmp_path / "exam.jsonl",)
