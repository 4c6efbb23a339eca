"""The callback that keeps a run, called as the Trainer calls it."""

from __future__ import annotations

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from llmtuner.runs.checkpoints import EarlierRun
from llmtuner.runs.keeper import RunKeeper
from llmtuner.runs.manifest import Manifest, read_manifest
from llmtuner.runs.stop import StopRequest, Terminated

PLANNED = Manifest(stage="sft", step=0, max_steps=0, epoch=0.0)


@pytest.fixture
def args(tmp_path):
    return TrainingArguments(str(tmp_path), save_total_limit=1, report_to=[], use_cpu=True)


def test_a_training_that_begins_again_keeps_its_limit_and_its_folder(args, tmp_path):
    """--auto_find_batch_size: a traceback for files that were set aside before, and checkpoints without a limit."""
    old = tmp_path / "adapter_config.json"
    old.write_text("{}")
    keeper = RunKeeper(PLANNED, tmp_path, earlier=EarlierRun(replaced=(old,)))
    for _ in range(2):
        keeper.on_train_begin(args, TrainerState(max_steps=2), TrainerControl())
    assert (tmp_path / "replaced-adapter_config.json").is_file()
    for step in (1, 2):
        (tmp_path / f"checkpoint-{step}").mkdir()
        keeper.on_save(args, TrainerState(max_steps=2, global_step=step), TrainerControl())
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]


@pytest.mark.parametrize("is_saved", [True, False])
def test_sigterm_after_the_last_step_ends_the_run_once_its_weights_are_safe(is_saved, args, tmp_path):
    """It was noted and forgotten: the run went on through its prediction, and ended with status 0."""
    stop, control = StopRequest(), TrainerControl()
    keeper = RunKeeper(PLANNED, tmp_path, stop)
    state = TrainerState(max_steps=2)
    keeper.on_train_begin(args, state, control)
    keeper.on_pre_optimizer_step(args, state, control)
    state.global_step = 2
    folder = tmp_path / "checkpoint-2"
    if is_saved:
        folder.mkdir()
        keeper.on_save(args, state, control)
    stop.requested = True
    if is_saved:
        with pytest.raises(Terminated, match="checkpoint-2"):
            keeper.on_train_end(args, state, control)
        return
    keeper.on_train_end(args, state, control)
    with pytest.raises(Terminated):
        keeper.finish()
    assert read_manifest(tmp_path / "run.json").step == 2
