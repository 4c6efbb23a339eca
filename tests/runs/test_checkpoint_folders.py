"""Checkpoint folders that a user moved elsewhere and linked."""

from __future__ import annotations

import shutil

import pytest

from llmtuner.runs.checkpoints import find_checkpoints, finish_removals, remove_checkpoint, remove_partial


def test_of_a_linked_checkpoint_only_the_link_is_deleted(tmp_path):
    """--save_total_limit stopped the training with "Cannot call rmtree on a symbolic link"."""
    far, out = tmp_path / "far", tmp_path / "out"
    for folder in (far, out):
        folder.mkdir()
    (far / "checkpoint.json").write_text("{}")
    (out / "checkpoint-2").symlink_to(far)
    remove_checkpoint(find_checkpoints(out)[0].folder)
    assert list(out.iterdir()) == []
    assert (far / "checkpoint.json").read_text() == "{}"


def test_what_a_killed_removal_leaves_is_no_checkpoint_and_goes_at_the_next_start(tmp_path, monkeypatch):
    """It was set aside as a checkpoint "of the earlier run", and took its space for ever."""
    for step in (2, 4):
        (tmp_path / f"checkpoint-{step}").mkdir()
        for name in ("checkpoint.json", "optimizer.pt"):
            (tmp_path / f"checkpoint-{step}" / name).write_text("{}")

    def killed(folder):
        (folder / "checkpoint.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_checkpoint(tmp_path / "checkpoint-2")
    assert [each.step for each in find_checkpoints(tmp_path)] == [4]
    finish_removals(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-4"]


def test_a_partial_checkpoint_that_is_a_link_is_removed(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "checkpoint-2").symlink_to(tmp_path / "far")
    (tmp_path / "run.json").write_text("{}")
    remove_partial(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["far", "run.json"]
