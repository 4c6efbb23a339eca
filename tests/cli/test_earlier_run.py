"""Runs whose output folder holds an earlier run."""

from __future__ import annotations

import json

import pytest

from llmtuner.cli.earlier_run import find_checkpoints, set_aside, settle_earlier_run
from llmtuner.cli.flags import Flags
from llmtuner.cli.words import Words
from llmtuner.errors import UserError


def checkpoint(output_dir, step, *, max_steps=30, epoch=None, files=("optimizer.pt", "scheduler.pt", "rng_state.pth")):
    folder = output_dir / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    state = {"global_step": step, "max_steps": max_steps, "epoch": epoch if epoch is not None else step / 10}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    for name in ("adapter_config.json", "adapter_model.safetensors", *files):
        (folder / name).write_bytes(b"weights")
    return folder


def flags(output_dir, **more):
    return Flags.of(Words({"output_dir": [str(output_dir)], **{name: [str(value)] for name, value in more.items()}}))


def test_a_finished_run_is_not_overwritten_by_training_nothing(tmp_path):
    checkpoint(tmp_path, 30)
    with pytest.raises(UserError, match=r"finished run.*--overwrite_output_dir.*--num_train_epochs"):
        settle_earlier_run(flags(tmp_path))


@pytest.mark.parametrize("more", [{"num_train_epochs": 5}, {"max_steps": 40}])
def test_more_epochs_or_steps_resume_from_the_last_checkpoint(tmp_path, more):
    folder = checkpoint(tmp_path, 30)
    resumed, [line] = settle_earlier_run(flags(tmp_path, **more))
    assert resumed == folder
    assert "step 30" in line


def test_steps_that_are_done_are_done_whatever_the_epochs(tmp_path):
    checkpoint(tmp_path, 30)
    with pytest.raises(UserError, match="finished"):
        settle_earlier_run(flags(tmp_path, max_steps=30, num_train_epochs=100))


def test_overwriting_is_the_users_word(tmp_path):
    checkpoint(tmp_path, 30)
    assert settle_earlier_run(flags(tmp_path, overwrite_output_dir=True)) == (None, ())


def test_an_unfinished_run_resumes_and_tells_from_where_and_with_what(tmp_path):
    checkpoint(tmp_path, 5)
    folder = checkpoint(tmp_path, 20, files=("optimizer.pt", "scheduler.pt"))
    resumed, [line] = settle_earlier_run(flags(tmp_path))
    assert resumed == folder
    assert "step 20 (of 30 planned), epoch 2.00" in line
    assert "restored: weights, optimizer, schedule" in line
    assert "NOT restored, because not saved: random state" in line


def test_a_checkpoint_that_was_killed_while_saving_is_skipped(tmp_path):
    """A half-written newest checkpoint stopped every later run, although older checkpoints were complete."""
    good = checkpoint(tmp_path, 10)
    (tmp_path / "checkpoint-20").mkdir()
    resumed, lines = settle_earlier_run(flags(tmp_path))
    assert resumed == good
    assert lines[0].startswith(f"skipped {tmp_path / 'checkpoint-20'}: ")


@pytest.mark.parametrize(
    ("damage", "defect"),
    [
        (lambda folder: (folder / "trainer_state.json").write_text("{"), "damaged"),
        (lambda folder: (folder / "trainer_state.json").unlink(), "missing"),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b""), "empty"),
    ],
)
def test_only_damaged_checkpoints_are_an_error(tmp_path, damage, defect):
    damage(checkpoint(tmp_path, 10))
    assert defect in find_checkpoints(tmp_path)[0].defects[0]
    with pytest.raises(UserError, match="no complete checkpoint"):
        settle_earlier_run(flags(tmp_path))
    with pytest.raises(UserError, match="not a complete checkpoint"):
        settle_earlier_run(flags(tmp_path, resume_from_checkpoint=tmp_path / "checkpoint-10"))


def test_checkpoints_count_by_step_not_by_name(tmp_path):
    for step in (9, 10, 100):
        checkpoint(tmp_path, step)
    assert [c.step for c in find_checkpoints(tmp_path)] == [9, 10, 100]


def test_a_fresh_folder_is_left_alone(tmp_path):
    assert settle_earlier_run(flags(tmp_path / "new")) == (None, ())


@pytest.mark.parametrize("words", [[], ["true"]])
def test_true_is_no_folder(tmp_path, words):
    """Upstream looked for a checkpoint in a folder named "true"."""
    folder = checkpoint(tmp_path, 20)
    given = Flags.of(Words({"output_dir": [str(tmp_path)], "resume_from_checkpoint": words}))
    assert settle_earlier_run(given)[0] == folder


def test_false_is_no_folder_either(tmp_path):
    with pytest.raises(UserError, match="--overwrite_output_dir"):
        settle_earlier_run(flags(tmp_path, resume_from_checkpoint="false"))


def test_training_afresh_leaves_no_checkpoint_to_resume_from(tmp_path, monkeypatch):
    """The next run resumed from a later checkpoint of the discarded run."""
    for _ in range(2):
        checkpoint(tmp_path, 20)
        set_aside(tmp_path)
        assert not find_checkpoints(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["replaced-checkpoint-20", "replaced-checkpoint-20-2"]
    checkpoint(tmp_path, 30)
    monkeypatch.setenv("RANK", "1")
    set_aside(tmp_path)
    assert [c.step for c in find_checkpoints(tmp_path)] == [30], "one process does it"


def test_an_adapter_does_not_resume_as_a_full_model(tmp_path):
    checkpoint(tmp_path, 20)
    with pytest.raises(UserError, match="is an adapter"):
        settle_earlier_run(flags(tmp_path, finetuning_type="full"))
    (tmp_path / "checkpoint-20" / "adapter_config.json").unlink()
    with pytest.raises(UserError, match="is a whole model"):
        settle_earlier_run(flags(tmp_path))


def test_weights_without_checkpoints_are_protected_too(tmp_path):
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    with pytest.raises(UserError, match="without checkpoints"):
        settle_earlier_run(flags(tmp_path))
