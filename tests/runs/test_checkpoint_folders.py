"""Checkpoint folders that a user moved elsewhere and linked."""

from __future__ import annotations

import json
import shutil

import pytest

from llmtuner.runs.checkpoints import find_checkpoints, finish_removals, remove_checkpoint, remove_partial, superseded
from llmtuner.runs.manifest import Manifest, write_manifest


def checkpoints_with_best(folder, best_steps, *, for_best=()):
    """One checkpoint for each step, which names the best one so far."""
    for step, best in enumerate(best_steps, 1):
        checkpoint = folder / f"checkpoint-{step}"
        checkpoint.mkdir()
        state = {"global_step": step, "max_steps": 9, "epoch": 0.5, "best_global_step": best}
        state["best_model_checkpoint"] = best and str(folder / f"checkpoint-{best}")
        (checkpoint / "trainer_state.json").write_text(json.dumps(state))
        manifest = Manifest(stage="mcq", step=step, max_steps=9, epoch=0.5, for_best=step in for_best)
        write_manifest(manifest, checkpoint / "checkpoint.json")
    return find_checkpoints(folder)


@pytest.mark.parametrize(
    ("best_steps", "limit", "resumable", "left"),
    [
        ([None] * 4, 2, 4, [3, 4]),
        ([1, 1, 1, 1], 1, 4, [1, 4]),
        ([1, 1, 1, 4], 2, 4, [1, 3, 4]),  # without 1, nothing could resume from 3 once 4 is damaged
        ([1, 2, 3, 4], 2, 4, [3, 4]),
        ([1, 1, 3, 3], 1, 2, [1, 2, 3, 4]),  # weights alone in 3 and 4: SIGTERM saved 2, which needs 1
    ],
)
def test_a_checkpoint_that_stays_keeps_the_best_one_that_it_needs(best_steps, limit, resumable, left, tmp_path):
    """The best one at that time was deleted once there was a better one, and resuming refused without it."""
    checkpoints = checkpoints_with_best(tmp_path, best_steps)
    gone = superseded(checkpoints, limit, {(tmp_path / f"checkpoint-{resumable}").resolve()})
    assert [each.step for each in checkpoints if each not in gone] == left


@pytest.mark.parametrize(
    ("best_steps", "for_best", "limit", "left"),
    [
        ([1, 2, 2, 2], {1, 2}, None, [2, 3, 4]),
        ([1, 2, 3, 4], {1, 2, 4}, None, [3, 4]),  # 4 is the newest one
        ([1, 1, 3, 4], {1, 3, 4}, None, [1, 2, 4]),  # 2 needs 1 to resume
        ([1, 1, 3, 4], {1, 3, 4}, 1, [4]),
        ([1, 1, 3, 3], {1, 3}, 2, [1, 2, 3, 4]),  # the limit counts 2 and 4
        ([None] * 4, set(), None, [1, 2, 3, 4]),
    ],
)
def test_a_checkpoint_that_was_only_the_best_one_goes_once_it_is_so_no_longer(
    best_steps, for_best, limit, left, tmp_path
):
    """With frequent evaluations, each better one would stay on the disk."""
    checkpoints = checkpoints_with_best(tmp_path, best_steps, for_best=for_best)
    gone = superseded(checkpoints, limit, set())
    assert [each.step for each in checkpoints if each not in gone] == left


def test_a_damaged_state_does_not_stop_the_deletion(tmp_path):
    checkpoints = checkpoints_with_best(tmp_path, [1, 1, 1])
    (tmp_path / "checkpoint-2" / "trainer_state.json").write_text("{")
    assert [each.step for each in superseded(checkpoints, 2, set())] == []
    assert [each.step for each in superseded(checkpoints, 1, set())] == [2]


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
