"""Checkpoint folders that a user moved elsewhere and linked."""

from __future__ import annotations

from llmtuner.runs.checkpoints import find_checkpoints, remove_checkpoint, remove_partial


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


def test_a_partial_checkpoint_that_is_a_link_is_removed(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "checkpoint-2").symlink_to(tmp_path / "far")
    (tmp_path / "run.json").write_text("{}")
    remove_partial(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["far", "run.json"]
