"""--tokenized_path with other data trained on the old rows, in silence."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmtuner.data.tokenized import ORIGIN
from llmtuner.errors import UserError
from patches import tokenized_path
from patches.sft_data import DataCall
from patches.tokenized_path import _load_own, _usable

ROW = {"id": "a", "prompt": "What is 2 + 2?", "A": "3", "B": "4", "answer": "B"}


class Run:
    """One call of the patched function, with upstream's arguments; `made` says whether upstream tokenised."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.made = False
        self._folder = folder
        self._data = dict.fromkeys(tokenized_path._OF_DATA)
        self._data |= {"dataset": [str(folder / "questions.jsonl")], "eval_dataset": None, "dataset_dir": str(folder)}
        self._data |= {"tokenized_path": str(folder / "cache"), "overwrite_cache": False, "cutoff_len": 512} | changes

    def load(self) -> None:
        model = SimpleNamespace(
            model_name_or_path=str(self._folder / "model"), **dict.fromkeys(tokenized_path._OF_MODEL)
        )
        training = SimpleNamespace(
            main_process_first=lambda **_: nullcontext(), should_save=True, seed=42, predict_with_generate=False
        )
        data = SimpleNamespace(**self._data)
        _load_own(DataCall(None, model, data, training, "sft", None), self._upstream)

    def _upstream(self) -> None:
        cache = Path(self._data["tokenized_path"])
        if not (cache.is_dir() and any(cache.iterdir())):
            self.made = True
            (cache / "train").mkdir(parents=True)
            (cache / "train" / "dataset_info.json").write_text("{}")
            (cache / "dataset_dict.json").write_text("{}")


@pytest.fixture
def folder(tmp_path) -> Path:
    write(tmp_path, ROW)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    Run(tmp_path).load()
    return tmp_path


def write(folder: Path, *rows: dict) -> None:
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_same_data_is_taken_from_the_cache(folder):
    again = Run(folder)
    again.load()
    assert not again.made
    copy = folder / "copy.jsonl"
    copy.write_bytes((folder / "questions.jsonl").read_bytes())
    Run(folder, dataset=[str(copy)]).load()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"data": ROW | {"answer": "A"}}, "--dataset: the data has another content"),
        ({"tokenizer": "{ }"}, "the tokenizer of --model_name_or_path is another one"),
        ({"template": "qwen"}, "--template: not given, and now qwen"),
        ({"cutoff_len": 1024}, "--cutoff_len: 512, and now 1024"),
        ({"max_samples": 5}, "--max_samples: not given, and now 5"),
        ({"val_size": 0.1}, "--val_size: not given, and now 0.1"),
        ({"train_on_prompt": True}, "--train_on_prompt: not given, and now True"),
    ],
)
def test_whatever_changes_a_row_is_named_with_the_way_out(change, line, folder):
    if "data" in change:
        write(folder, change.pop("data"))
    if "tokenizer" in change:
        (folder / "model" / "tokenizer.json").write_text(change.pop("tokenizer"))
    with pytest.raises(UserError) as caught:
        Run(folder, **change).load()
    assert str(caught.value).splitlines()[1:] == [
        f"  {line}",
        "Name another folder, or add --overwrite_cache to make it anew",
    ]
    other = Run(folder, **change, overwrite_cache=True)
    other.load()
    assert other.made
    Run(folder, **change).load()


def test_a_cache_that_was_made_elsewhere_is_taken_with_a_warning(folder, caplog, monkeypatch):
    (folder / "cache" / ORIGIN).unlink()
    monkeypatch.setattr(logging.getLogger("llmtuner"), "propagate", True)
    again = Run(folder, cutoff_len=7)
    again.load()
    assert not again.made
    assert "does not say what it was made of" in caplog.text
    assert not (folder / "cache" / ORIGIN).exists(), "its origin is not known, and is not made up"


@pytest.mark.parametrize("foreign", ["photo.jpg", ORIGIN])
def test_nothing_is_deleted_that_this_project_did_not_make(foreign, folder):
    """--overwrite_cache with a folder of the user's own."""
    if foreign == ORIGIN:
        (folder / "cache" / ORIGIN).unlink()
    else:
        (folder / "cache" / foreign).write_text("x")
    before = sorted(path.name for path in (folder / "cache").rglob("*"))
    with pytest.raises(UserError, match="deletes nothing; name another folder"):
        Run(folder, overwrite_cache=True).load()
    assert sorted(path.name for path in (folder / "cache").rglob("*")) == before


@pytest.mark.parametrize("damaged", ["{", "[]", '{"format": 2, "origin": {}}', '{"format": 1}'])
def test_a_damaged_record_is_an_error_and_no_match(damaged, folder):
    (folder / "cache" / ORIGIN).write_text(damaged)
    with pytest.raises(UserError, match=r"name another folder, or add --overwrite_cache"):
        Run(folder).load()


def test_every_flag_that_is_compared_exists_in_upstream():
    from llamafactory.hparams import parser

    import patches

    patches.install()
    model, data, training = parser._TRAIN_ARGS[:3]
    for arguments, names in (
        (model, tokenized_path._OF_MODEL),
        (data, tokenized_path._OF_DATA),
        (training, tokenized_path._OF_TRAINING),
    ):
        assert set(names) <= set(arguments.__dataclass_fields__)


def test_a_damaged_row_is_noticed(folder):
    """A flipped bit was trained on in silence, and a cut file ended in a traceback."""
    (folder / "cache" / "train" / "dataset_info.json").write_text("{ }")
    with pytest.raises(UserError, match=r"train/dataset_info.json is damaged.*--overwrite_cache"):
        Run(folder).load()
    again = Run(folder, overwrite_cache=True)
    again.load()
    assert again.made
    Run(folder).load()


def killed_while_writing(folder, pid):
    (folder / "cache" / ORIGIN).unlink()
    (folder / "cache" / "train" / "dataset_info.json").unlink()
    marker = folder / ".cache.unfinished"
    marker.write_text(json.dumps({"pid": pid, "host": socket.gethostname()}))
    return marker


def test_half_of_a_cache_is_made_anew(folder):
    """After a kill every start ended in a traceback, and --overwrite_cache was refused."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    marker = killed_while_writing(folder, ended.pid)
    again = Run(folder)
    again.load()
    assert again.made
    assert not marker.exists()
    Run(folder).load()


def test_half_of_a_cache_that_another_run_writes_is_left_alone(folder):
    marker = killed_while_writing(folder, os.getppid())
    with pytest.raises(UserError, match=rf"process {os.getppid()} on .* writes to it"):
        Run(folder).load()
    assert (folder / "cache" / "train").is_dir()
    assert marker.exists()


def test_nothing_is_left_beside_a_cache_that_was_not_written(folder, monkeypatch):
    def fail(*_):
        raise UserError("no data")

    monkeypatch.setattr(Run, "_upstream", fail)
    with pytest.raises(UserError, match="no data"):
        Run(folder, tokenized_path=str(folder / "new")).load()
    assert not list(folder.glob("*new*"))
    assert not list(folder.glob(".*"))


def test_a_folder_of_other_files_is_no_cache(folder, tmp_path):
    """A mistyped folder ended in a traceback of `datasets`."""
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "readme.txt").write_text("")
    with pytest.raises(UserError, match=f"--tokenized_path {notes}: not tokenised data"):
        _usable(str(notes), {}, overwrite=False)
    assert [path.name for path in notes.iterdir()] == ["readme.txt"]


def test_a_file_is_no_cache(folder):
    with pytest.raises(UserError, match="a file; name a folder"):
        Run(folder, tokenized_path=str(folder / "questions.jsonl")).load()
