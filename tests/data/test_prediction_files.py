"""The files of a prediction are replaced together: no interruption leaves a mix of two predictions."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

import pytest

from llmtuner.data.prediction_files import check_out_file, replacing_prediction
from llmtuner.errors import UserError

TRAINED = {"train_loss": 1.5}


@pytest.fixture(autouse=True)
def without_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)


def predict(folder: Path, name: str, *, generated: bool = True) -> None:
    """Write a prediction whose files all hold its name, in the order of stage sft."""
    results = {"predict_map@3": name, f"predict_only_{name}": 1, f"floor_only_{name}": 1}
    with replacing_prediction(folder, results) as staging:
        if generated:
            (staging / "generated_predictions.jsonl").write_text(name)
        (staging / "predictions.jsonl").write_text(name)
        (staging / "submission.csv").write_text(name)


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def made(folder: Path, *names: str, **more: bool) -> dict[str, str]:
    folder.mkdir()
    (folder / "all_results.json").write_text(json.dumps(TRAINED))
    for name in names:
        predict(folder, name, **more)
    return content(folder)


class Interrupted(BaseException):
    """A signal: no handler of ordinary errors sees it."""


class Faults:
    """Fails at the n-th call that changes the folder's list of names or forces it to disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException, *, killed: bool) -> None:
        self.calls = 0
        for owner, name in ((os, "replace"), (os, "fsync"), (Path, "unlink")):
            original = getattr(owner, name)

            def failing(*args, original=original, **kwargs):
                self.calls += 1
                if self.calls == at:
                    if killed:  # nothing of this process runs any more, no clean-up either
                        monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
                    raise error
                return original(*args, **kwargs)

            monkeypatch.setattr(owner, name, failing)


@pytest.mark.parametrize("killed", [False, True])
def test_a_failure_at_any_point_leaves_the_old_set_the_new_set_or_an_unfinished_one(killed, tmp_path):
    old = made(tmp_path / "old", "old")
    new = made(tmp_path / "new", "old", "new", generated=False)
    outcomes = []
    for at in range(1, 40):
        folder = tmp_path / f"at {at}"
        shutil.copytree(tmp_path / "old", folder)
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, at, Interrupted() if killed else OSError("no space"), killed=killed)
            with contextlib.suppress(OSError, Interrupted):
                predict(folder, "new", generated=False)
        after = content(folder)
        outcomes.append("old" if after == old else "new" if after == new else "unfinished")
        if outcomes[-1] == "unfinished":
            assert "predict_results.json" not in after, f"a mix that reads as finished, call {at}"
        if not killed:
            assert not [path for path in folder.iterdir() if path.is_dir()], "temporary files are left"
        predict(folder, "new", generated=False)
        assert content(folder) == new, "the next prediction is complete"
        assert not [path for path in folder.iterdir() if path.is_dir()]
        if faults.calls < at:
            break
    assert outcomes[0] == "old"
    assert outcomes.count("unfinished") >= 5, "no call between the renames was reached"
    assert outcomes[-1] == "new"


def test_an_error_while_predicting_leaves_the_earlier_prediction(tmp_path):
    old = made(tmp_path / "run", "old")
    with contextlib.suppress(Interrupted), replacing_prediction(tmp_path / "run", {}) as staging:
        (staging / "predictions.jsonl").write_text("new")
        raise Interrupted
    assert content(tmp_path / "run") == old
    assert not [path for path in (tmp_path / "run").iterdir() if path.is_dir()]


def test_generated_text_of_an_earlier_prediction_does_not_stay_beside_a_new_one(tmp_path):
    """A prediction of stage mcq in a folder of stage sft kept the generated texts of the earlier model."""
    assert "generated_predictions.jsonl" in made(tmp_path / "run", "old")
    predict(tmp_path / "run", "new", generated=False)
    assert sorted(content(tmp_path / "run")) == [
        "all_results.json",
        "predict_results.json",
        "predictions.jsonl",
        "submission.csv",
    ]


def test_all_results_keep_the_training_and_no_value_of_an_earlier_prediction(tmp_path):
    results = json.loads(made(tmp_path / "run", "old", "new")["all_results.json"])
    assert results == {**TRAINED, "predict_map@3": "new", "predict_only_new": 1, "floor_only_new": 1}


@pytest.mark.parametrize("damaged", ['{"train_l', "[1]", ""])
def test_a_cut_file_of_all_results_does_not_cost_a_prediction(damaged, tmp_path):
    (tmp_path / "all_results.json").write_text(damaged)
    predict(tmp_path, "new")
    assert json.loads((tmp_path / "all_results.json").read_text())["predict_map@3"] == "new"


@pytest.mark.parametrize("link", [True, False])
def test_what_is_in_the_place_of_the_new_files_is_removed(link, tmp_path):
    """It ended in a traceback, after all questions were scored."""
    (tmp_path / "far").mkdir()
    place = tmp_path / ".prediction"
    if link:
        place.symlink_to(tmp_path / "far")
    else:
        place.write_text("x")
    predict(tmp_path, "new")
    assert json.loads((tmp_path / "predict_results.json").read_text())["predict_map@3"] == "new"
    assert not place.exists()


def test_json_never_replaces_a_file_of_a_prediction(tmp_path):
    """`blend.py a b --json a/predictions.jsonl --overwrite` ended with 0, and the run that it had read was gone."""
    predict(tmp_path / "a", "a")
    for name in content(tmp_path / "a"):
        with pytest.raises(UserError, match=r"--json .* is a file of a prediction"):
            check_out_file(str(tmp_path / "a" / name), overwrite=True)
    (tmp_path / "blend.json").write_text("{}")
    check_out_file(str(tmp_path / "blend.json"), overwrite=True)
