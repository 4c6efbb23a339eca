"""Runs whose output folder holds an earlier run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from llmtuner.cli.earlier_run import settle_earlier_run
from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight_mcq import check_checkpoint
from llmtuner.cli.record import settings_of
from llmtuner.cli.words import Words
from llmtuner.errors import UserError
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.settings import McqSettings, write_settings
from llmtuner.runs.checkpoints import find_checkpoints, set_aside
from llmtuner.runs.lock import locked
from llmtuner.runs.manifest import DataDigest, Manifest, digest_files, write_manifest

STATES = ("optimizer.pt", "scheduler.pt", "rng_state.pth")


def checkpoint(output_dir, step, *, max_steps=30, epoch=None, files=STATES, best=None, best_folder=None):
    """A checkpoint from before manifests."""
    folder = output_dir / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    state = {"global_step": step, "max_steps": max_steps, "epoch": epoch if epoch is not None else step / 10}
    if best_folder is None and best:
        best_folder = output_dir / f"checkpoint-{best}"
    state |= {"best_global_step": best, "best_model_checkpoint": str(best_folder) if best_folder else None}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    for name in ("adapter_config.json", "adapter_model.safetensors", *files):
        (folder / name).write_bytes(b"weights")
    return folder


def flags(output_dir, **more):
    return Flags.of(Words({"output_dir": [str(output_dir)], **{name: [str(value)] for name, value in more.items()}}))


def planned(given, **more):
    stored = Manifest(stage="sft", step=0, max_steps=0, epoch=0.0, data=DataDigest("aa" * 32, 9), base="bb" * 32)
    return replace(stored, settings=settings_of(given, None), **more)


def settle(given, **more):
    return settle_earlier_run(given, planned(given, **more))


def kept(output_dir, step, *, given=None, epoch=None, **more):
    """A checkpoint with its manifest."""
    of_folder = {name: more.pop(name) for name in ("files", "best", "best_folder") if name in more}
    folder = checkpoint(output_dir, step, epoch=epoch, **of_folder)
    names = [path.name for path in folder.iterdir()]
    epoch = step / 10 if epoch is None else epoch
    manifest = planned(given or flags(output_dir), step=step, max_steps=30, epoch=epoch, **more)
    write_manifest(replace(manifest, files=digest_files(folder, names)), folder / "checkpoint.json")
    return folder


def finished(output_dir, step=30, *, given=None, **more):
    """The end of a run."""
    output_dir.mkdir(exist_ok=True)
    for name in ("adapter_config.json", "adapter_model.safetensors", "train_results.json", "predict_results.json"):
        (output_dir / name).write_bytes(b"final")
    manifest = planned(given or flags(output_dir), step=step, max_steps=30, epoch=step / 10, **more)
    files = digest_files(output_dir, ["adapter_config.json", "adapter_model.safetensors"])
    write_manifest(replace(manifest, files=files), output_dir / "run.json")


def test_a_finished_run_is_not_overwritten_by_training_nothing(tmp_path):
    checkpoint(tmp_path, 30)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"final")
    with pytest.raises(UserError, match=r"finished run.*--num_train_epochs.*--overwrite_output_dir"):
        settle(flags(tmp_path))


@pytest.mark.parametrize("more", [{"num_train_epochs": 5}, {"max_steps": 40}])
def test_more_epochs_or_steps_resume_from_the_last_checkpoint(tmp_path, more):
    folder = checkpoint(tmp_path, 30)
    earlier = settle(flags(tmp_path, **more))
    assert earlier.checkpoint == folder
    assert "step 30" in earlier.notices[0]


def test_steps_that_are_done_are_done_whatever_the_epochs(tmp_path):
    checkpoint(tmp_path, 30)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"final")
    with pytest.raises(UserError, match="finished"):
        settle(flags(tmp_path, max_steps=30, num_train_epochs=100))


def test_overwriting_is_the_users_word(tmp_path):
    folder = checkpoint(tmp_path, 30)
    earlier = settle(flags(tmp_path, overwrite_output_dir=True))
    assert (earlier.checkpoint, earlier.replaced) == (None, (folder,))


def test_an_unfinished_run_resumes_and_tells_from_where_and_with_what(tmp_path):
    checkpoint(tmp_path, 5)
    folder = checkpoint(tmp_path, 20, files=("optimizer.pt", "scheduler.pt"))
    earlier = settle(flags(tmp_path))
    [line] = earlier.notices
    assert earlier.checkpoint == folder
    assert "step 20 (of 30 planned then), epoch 2.00" in line
    assert "restored: weights, optimizer, schedule" in line
    assert "NOT restored, because not saved: random state" in line


def test_a_checkpoint_that_was_killed_while_saving_is_skipped(tmp_path):
    """A half-written newest checkpoint stopped every later run, although older checkpoints were complete."""
    good = checkpoint(tmp_path, 10)
    (tmp_path / "checkpoint-20").mkdir()
    earlier = settle(flags(tmp_path))
    assert earlier.checkpoint == good
    assert earlier.notices[0].startswith(f"skipped {tmp_path / 'checkpoint-20'}: ")


def test_only_damaged_checkpoints_are_an_error(tmp_path):
    folder = checkpoint(tmp_path, 10)
    (folder / "adapter_model.safetensors").write_bytes(b"")
    assert "empty" in find_checkpoints(tmp_path)[0].defect
    with pytest.raises(UserError, match="no complete checkpoint"):
        settle(flags(tmp_path))
    with pytest.raises(UserError, match="not a complete checkpoint"):
        settle(flags(tmp_path, resume_from_checkpoint=folder))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "trainer_state.json").write_text("{"),
        lambda folder: (folder / "trainer_state.json").unlink(),
        lambda folder: [path.unlink() for path in folder.iterdir()],
    ],
    ids=["half a state", "no state", "empty"],
)
def test_a_first_checkpoint_that_was_never_complete_does_not_stop_a_new_start(tmp_path, damage):
    """Ten of 91 killed runs could not be started again."""
    folder = checkpoint(tmp_path, 10)
    damage(folder)
    earlier = settle(flags(tmp_path))
    assert (earlier.checkpoint, earlier.replaced) == (None, (folder,))
    assert "skipped" in earlier.notices[0]


def test_checkpoints_count_by_step_not_by_name(tmp_path):
    for step in (9, 10, 100):
        checkpoint(tmp_path, step)
    assert [c.step for c in find_checkpoints(tmp_path)] == [9, 10, 100]


def test_a_fresh_folder_is_left_alone(tmp_path):
    assert settle(flags(tmp_path / "new")).checkpoint is None


@pytest.mark.parametrize("words", [[], ["true"]])
def test_true_is_no_folder(tmp_path, words):
    """Upstream looked for a checkpoint in a folder named "true"."""
    folder = checkpoint(tmp_path, 20)
    given = Flags.of(Words({"output_dir": [str(tmp_path)], "resume_from_checkpoint": words}))
    assert settle(given).checkpoint == folder


def test_false_is_no_folder_either(tmp_path):
    with pytest.raises(UserError, match="--overwrite_output_dir"):
        settle(flags(tmp_path, resume_from_checkpoint="false"))


def test_files_that_are_set_aside_keep_their_content(tmp_path):
    """The next run resumed from a later checkpoint of the discarded run."""
    for content in (b"first", b"second"):
        checkpoint(tmp_path, 20)
        (tmp_path / "adapter_model.safetensors").write_bytes(content)
        assert len(list(set_aside([tmp_path / "checkpoint-20", tmp_path / "adapter_model.safetensors"]))) == 2
        assert not find_checkpoints(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "replaced-2-adapter_model.safetensors",
        "replaced-2-checkpoint-20",
        "replaced-adapter_model.safetensors",
        "replaced-checkpoint-20",
    ]
    assert (tmp_path / "replaced-adapter_model.safetensors").read_bytes() == b"first"


def test_an_adapter_does_not_go_on_as_a_full_model(tmp_path):
    checkpoint(tmp_path, 20)
    with pytest.raises(UserError, match="is an adapter"):
        settle(flags(tmp_path, finetuning_type="full"))
    (tmp_path / "checkpoint-20" / "adapter_config.json").unlink()
    with pytest.raises(UserError, match="is a whole model"):
        settle(flags(tmp_path))


def test_weights_without_checkpoints_are_protected_too(tmp_path):
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    with pytest.raises(UserError, match="without checkpoints"):
        settle(flags(tmp_path))


# ---- runs with manifests


def test_the_newest_checkpoint_that_verifies_is_taken_and_the_skipped_one_is_named(tmp_path):
    """Of 89 damaged checkpoints 24 stopped the run although an older one was good, and 14 were taken."""
    good, damaged = kept(tmp_path, 10), kept(tmp_path, 20)
    (damaged / "optimizer.pt").write_bytes(b"weightZ")
    earlier = settle(flags(tmp_path))
    assert earlier.checkpoint == good
    assert earlier.notices[0] == f"skipped {damaged}: optimizer.pt is damaged: its content is not what was saved"
    assert earlier.replaced == (damaged,), "or its files would be mixed with those of the new checkpoint-20"
    assert "restored: weights, optimizer, schedule, random state" in earlier.notices[1]


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "adapter_model.safetensors"])
def test_without_an_older_checkpoint_damage_is_an_error(tmp_path, name):
    folder = kept(tmp_path, 10)
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"no complete checkpoint.*{name} is missing.*--overwrite_output_dir"):
        settle(flags(tmp_path))


def test_a_checkpoint_that_was_killed_before_its_manifest_is_skipped(tmp_path):
    good, partial = kept(tmp_path, 10), checkpoint(tmp_path, 20)
    earlier = settle(flags(tmp_path))
    assert (earlier.checkpoint, earlier.replaced) == (good, (partial,))
    assert "checkpoint.json is missing" in earlier.notices[0]


def test_a_first_checkpoint_without_its_manifest_is_not_one_from_before_manifests(tmp_path):
    """It resumed, but train_loss lacked the steps before it."""
    folder = checkpoint(tmp_path, 10)
    assert settle(flags(tmp_path)).checkpoint == folder
    with locked(tmp_path, training=True):
        pass
    assert settle(flags(tmp_path)).checkpoint is None


def test_a_checkpoint_without_the_optimizer_cannot_resume(tmp_path):
    """The optimizer and the schedule began anew, in silence."""
    kept(tmp_path, 10, files=())
    with pytest.raises(UserError, match="saved without optimizer, schedule, random state"):
        settle(flags(tmp_path))


@pytest.mark.parametrize(
    ("flag", "stored", "given"),
    [
        ("learning_rate", "1e-4", "1e-2"),
        ("lora_rank", "8", "16"),
        ("lora_alpha", "16", "32"),
        ("seed", "42", "43"),
        ("cutoff_len", "2048", "1024"),
        ("val_size", "0", "0.1"),
        ("optim", "adamw_torch", "sgd"),
        ("template", "llama2", "qwen"),
        ("a_flag_of_tomorrow", "1", "2"),
    ],
)
def test_settings_that_shape_the_weights_must_be_those_of_the_checkpoint(tmp_path, flag, stored, given):
    """Another learning rate was ignored in silence; another rank ended in a traceback."""
    kept(tmp_path, 10, given=flags(tmp_path, **{flag: stored}))
    with pytest.raises(
        UserError,
        match=rf"--{flag} stored {float(stored):g}, given {float(given):g}"
        if flag not in ("optim", "template")
        else rf"--{flag} stored {stored}, given {given}",
    ):
        settle(flags(tmp_path, **{flag: given}))


def test_all_differences_come_in_one_message(tmp_path):
    kept(tmp_path, 10)
    with pytest.raises(UserError) as caught:
        settle(flags(tmp_path, learning_rate=1, seed=1), data=DataDigest("cc" * 32, 9), base="dd" * 32)
    for name in ("learning_rate", "seed", "dataset", "model_name_or_path"):
        assert f"--{name}" in str(caught.value)


@pytest.mark.parametrize(
    ("flag", "given"),
    [("num_train_epochs", "5"), ("save_steps", "7"), ("per_device_train_batch_size", "4"), ("mcq_layout", "joint")],
)
def test_what_does_not_shape_the_weights_is_taken_up_and_said(tmp_path, flag, given):
    kept(tmp_path, 10)
    notices = settle(flags(tmp_path, **{flag: given})).notices
    assert any(f"--{flag} {given}, before" in line for line in notices)
    assert any("order of the batches" in line for line in notices) == (flag == "per_device_train_batch_size")


def test_what_is_only_reported_is_not_said(tmp_path):
    kept(tmp_path, 10)
    assert (
        len(settle(flags(tmp_path, plot_loss=True, do_predict=True, report_to="none", max_new_tokens=3)).notices) == 1
    )


def test_a_moved_model_and_renamed_data_are_the_same(tmp_path):
    kept(tmp_path, 10, given=flags(tmp_path, dataset="old.csv", model_name_or_path="old"))
    assert settle(flags(tmp_path, dataset="new.csv", model_name_or_path="new")).checkpoint is not None


def test_names_are_compared_where_the_content_is_not_known(tmp_path):
    kept(tmp_path, 10, given=flags(tmp_path, dataset="one"), data=None)
    with pytest.raises(UserError, match="--dataset stored one, given two"):
        settle(flags(tmp_path, dataset="two"), data=None)


def test_a_folder_of_another_stage_is_refused(tmp_path):
    kept(tmp_path, 10, stage="mcq")
    with pytest.raises(UserError, match="holds a run of stage mcq, and this is stage sft"):
        settle(flags(tmp_path))


def test_a_finished_run_with_other_data_is_refused_whatever_the_epochs(tmp_path):
    """It trained nothing, and overwrote the results with train_loss 0.0."""
    kept(tmp_path, 30)
    finished(tmp_path, given=flags(tmp_path, dataset="a.csv"))
    given = flags(tmp_path, dataset="b.csv", num_train_epochs=9)
    with pytest.raises(UserError, match=r"finished run.*a\.csv \(aaaa.*b\.csv \(cccc.*--overwrite_output_dir"):
        settle(given, data=DataDigest("cc" * 32, 9))


def test_more_epochs_of_a_finished_run_set_its_end_aside(tmp_path):
    folder = kept(tmp_path, 30)
    finished(tmp_path)
    earlier = settle(flags(tmp_path, num_train_epochs=5))
    assert earlier.checkpoint == folder
    assert [path.name for path in earlier.replaced] == [
        "run.json",
        "adapter_config.json",
        "train_results.json",
        "predict_results.json",
        "adapter_model.safetensors",
    ]


def test_a_prediction_that_was_killed_after_its_training_is_made_by_the_same_command(tmp_path):
    """The training was finished, so the command was refused, and its prediction was never made."""
    folder = kept(tmp_path, 30)
    finished(tmp_path)
    both = flags(tmp_path, do_predict=True)
    with pytest.raises(UserError, match="leave out --do_train"):
        settle(both)
    (tmp_path / "predict_results.json").unlink()
    assert settle(both).checkpoint == folder
    with pytest.raises(UserError, match="finished run"):
        settle(flags(tmp_path))


@pytest.mark.parametrize("when", [{"do_eval": True}, {"eval_strategy": "steps"}])
def test_an_evaluation_that_was_killed_after_its_training_is_made_by_the_same_command(tmp_path, when):
    """With --eval_strategy alone it was refused, although transformers adds --do_eval to it."""
    folder = kept(tmp_path, 30)
    finished(tmp_path)
    assert settle(flags(tmp_path, **when, eval_dataset="other")).checkpoint == folder
    with pytest.raises(UserError, match="finished run"):  # nothing to evaluate on
        settle(flags(tmp_path, **when))
    (tmp_path / "eval_results.json").write_text("{}")
    with pytest.raises(UserError, match="finished run"):
        settle(flags(tmp_path, **when, eval_dataset="other"))


def test_a_run_that_stopped_early_is_finished(tmp_path):
    """It was resumed, trained nothing, and wrote its results again."""
    stopped = flags(tmp_path, early_stopping_steps=2)
    folder = kept(tmp_path, 6, given=stopped)
    finished(tmp_path, 6, given=stopped)
    with pytest.raises(UserError, match=r"step 6 of 30, where it stopped early.*a larger --early_stopping_steps"):
        settle(stopped)
    assert settle(flags(tmp_path, early_stopping_steps=3)).checkpoint == folder
    assert settle(flags(tmp_path, early_stopping_steps=2, num_train_epochs=5)).checkpoint == folder


def test_fewer_steps_than_are_done_are_refused(tmp_path):
    """A training that resumed beyond its end made one more step."""
    kept(tmp_path, 20)
    with pytest.raises(UserError, match="finished run: step 20"):
        settle(flags(tmp_path, max_steps=10))


def test_a_run_that_was_killed_before_its_end_was_saved_is_completed(tmp_path):
    """Twelve of 91 killed runs were called finished without final weights."""
    folder = kept(tmp_path, 30)
    earlier = settle(flags(tmp_path))
    assert earlier.checkpoint == folder
    assert "all steps are done" in earlier.notices[-1]


def test_a_damaged_end_is_made_again_from_the_checkpoint(tmp_path):
    folder = kept(tmp_path, 30)
    finished(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"fInal")
    earlier = settle(flags(tmp_path))
    assert earlier.checkpoint == folder
    assert "adapter_model.safetensors is damaged" in earlier.notices[0]


def test_weights_that_a_killed_run_left_half_do_not_stop_it(tmp_path):
    (tmp_path / "adapter_model.safetensors").write_bytes(b"half")
    with locked(tmp_path, training=True):
        pass
    earlier = settle(flags(tmp_path))
    assert [path.name for path in earlier.replaced] == ["adapter_model.safetensors"]
    finished(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"fInal")
    with pytest.raises(UserError, match="weights of an earlier run"):
        settle(flags(tmp_path))


def test_the_folder_of_a_finished_run_is_no_checkpoint(tmp_path):
    """It resumed from step 8 of 8, and did step 9."""
    kept(tmp_path / "old", 30)
    finished(tmp_path / "old")
    with pytest.raises(UserError, match="the output folder of a finished run, not a checkpoint"):
        settle(flags(tmp_path / "new", resume_from_checkpoint=tmp_path / "old"))
    with pytest.raises(UserError, match="train nothing"):
        settle(flags(tmp_path / "new", resume_from_checkpoint=tmp_path / "old" / "checkpoint-30"))


def test_a_named_checkpoint_that_is_damaged_is_an_error(tmp_path):
    kept(tmp_path, 10)
    folder = kept(tmp_path, 20)
    (folder / "scheduler.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"not a complete checkpoint: scheduler\.pt has 0 bytes"):
        settle(flags(tmp_path, resume_from_checkpoint=folder))


def test_a_named_checkpoint_sets_later_ones_aside(tmp_path):
    """The next start resumed from the later checkpoints, which belong to another training."""
    first, second = kept(tmp_path, 10), kept(tmp_path, 20)
    assert settle(flags(tmp_path, resume_from_checkpoint=first)).replaced == (second,)


def test_an_overwriting_run_that_was_interrupted_resumes_itself(tmp_path):
    over = flags(tmp_path, overwrite_output_dir=True)
    folder = kept(tmp_path, 10, given=over)
    assert settle(over).checkpoint == folder
    assert settle(flags(tmp_path, overwrite_output_dir=True, seed=1)).checkpoint is None
    finished(tmp_path, given=over)
    assert settle(over).checkpoint is None, "a finished run is overwritten"


def test_a_best_checkpoint_that_is_gone_is_said_before_the_first_step(tmp_path):
    """The run crashed after its last step."""
    kept(tmp_path, 20, best=10)
    best = flags(tmp_path, load_best_model_at_end=True)
    with pytest.raises(UserError, match=r"--load_best_model_at_end.*checkpoint-10.*no such folder"):
        settle(best)
    assert settle(flags(tmp_path)).checkpoint is not None
    kept(tmp_path, 10)
    assert settle(best).checkpoint is not None


@pytest.mark.parametrize("saved", ["", "checkpoint-10"])
def test_a_best_evaluation_that_was_not_saved_is_not_asked_for(saved, tmp_path):
    """It was told to copy checkpoint-15 back, which an earlier version had never saved."""
    kept(tmp_path, 10)
    last = kept(tmp_path, 20, best=15, best_folder=saved and tmp_path / saved)
    given = flags(tmp_path, load_best_model_at_end=True)
    assert settle(given).checkpoint == last
    if saved:
        shutil.rmtree(tmp_path / saved)
        with pytest.raises(UserError, match=r"checkpoint-10 .*no such folder"):
            settle(given)


def test_a_best_checkpoint_of_weights_alone_is_one(tmp_path):
    """With --save_only_model it "was lost": what the end needs of it are its weights."""
    kept(tmp_path, 10, files=())
    kept(tmp_path, 20, best=10)
    assert settle(flags(tmp_path, load_best_model_at_end=True)).checkpoint == tmp_path / "checkpoint-20"


def test_a_best_checkpoint_that_stayed_in_another_folder_is_found_there(tmp_path):
    """A training from a checkpoint of another folder, interrupted, was refused: its best one is not beside it."""
    given = flags(tmp_path / "out", load_best_model_at_end=True)
    best = kept(tmp_path / "other", 10)
    last = kept(tmp_path / "out", 20, best=10, best_folder=best)
    assert settle(given).checkpoint == last
    (best / "adapter_model.safetensors").write_bytes(b"changed")
    with pytest.raises(UserError, match=r"out/checkpoint-10 .*no such folder"):
        settle(given)


@pytest.mark.parametrize("manifests", [True, False])
def test_a_copied_checkpoint_is_not_taken_for_a_later_step(manifests, tmp_path):
    """A copy of checkpoint-10 under the name checkpoint-20 "resumed from step 20", and repeated ten steps."""
    make = kept if manifests else checkpoint
    first = make(tmp_path, 10)
    shutil.copytree(first, tmp_path / "checkpoint-20")
    earlier = settle(flags(tmp_path))
    assert earlier.checkpoint == first
    assert f"skipped {tmp_path / 'checkpoint-20'}: it was saved as checkpoint-10" in earlier.notices
    shutil.copytree(first, tmp_path / "latest")
    named = settle(flags(tmp_path, resume_from_checkpoint=tmp_path / "latest"))
    assert "step 10 " in named.notices[0]


@pytest.mark.parametrize("source", ["model_name_or_path", "adapter_name_or_path"])
@pytest.mark.parametrize("name", ["", "checkpoint-10"])
def test_a_training_does_not_replace_what_it_starts_from(source, name, tmp_path):
    """The base model's files were renamed to replaced-*, and the new adapter named itself as its base."""
    checkpoint(tmp_path, 10)
    given = flags(tmp_path, overwrite_output_dir="true", **{source: tmp_path / name})
    with pytest.raises(UserError, match=r"starts from .*, whose files it would replace; pass another --output_dir"):
        settle(given)
    (tmp_path / "other").mkdir()
    assert settle(flags(tmp_path / "other", **{source: tmp_path / name})).replaced == ()


@pytest.mark.parametrize("name", ["", "checkpoint-10"])
def test_a_training_does_not_replace_its_reranker(name, tmp_path):
    """Every prediction with the new adapter was refused: it is another reranker than the one that was replaced."""
    checkpoint(tmp_path, 10)
    given = flags(tmp_path, overwrite_output_dir="true", retrieve="index", retrieve_rerank=tmp_path / name)
    with pytest.raises(UserError, match=r"reranks with .*, whose files it would replace; pass another --output_dir"):
        settle(given)


def test_the_users_readme_is_set_aside(tmp_path):
    """A README that is no model card stopped the final save, and any other was replaced."""
    (tmp_path / "README.md").write_bytes(b"my notes \xff")
    assert settle(flags(tmp_path)).replaced == (tmp_path / "README.md",)


def test_other_tokens_in_the_same_file_are_other_settings(tmp_path):
    """The file of --new_special_tokens_config was compared by its name: other tokens got the trained rows."""
    file, out = tmp_path / "tokens.yaml", tmp_path / "out"
    file.write_text("<hint>: a hint")
    given = flags(out, new_special_tokens_config=file)
    kept(out, 10, given=given)
    assert settle(given).checkpoint == out / "checkpoint-10"
    moved = file.rename(tmp_path / "moved.yaml")
    given = flags(out, new_special_tokens_config=moved)
    assert settle(given).checkpoint == out / "checkpoint-10"
    moved.write_text("<other>: a hint")
    with pytest.raises(UserError, match=r"--new_special_tokens_config stored .*<hint>.*, given .*<other>"):
        settle(given)


def test_a_training_on_top_of_an_adapter_that_has_moved_goes_on(tmp_path):
    """The weights were compared and equal, and the run was refused by the folder's name, in stage mcq alone."""
    write_settings(McqSettings(merged_adapters=("before/sft",)), tmp_path)
    run = McqRun(model="m", settings=McqSettings(merged_adapters=("now/sft",)))
    check_checkpoint(tmp_path, run, same_adapters=True)
    for other in (run, replace(run, settings=McqSettings())):
        with pytest.raises(UserError, match="was trained with merged adapters before/sft"):
            check_checkpoint(tmp_path, other, same_adapters=other is not run)


def test_a_moved_adapter_below_is_compared_by_its_weights(tmp_path):
    given = flags(tmp_path, stage="mcq", adapter_name_or_path="before/sft")
    kept(tmp_path, 10, given=given, stage="mcq", adapters=("a" * 64,))
    write_settings(McqSettings(merged_adapters=("before/sft",)), tmp_path / "checkpoint-10")
    moved = flags(tmp_path, stage="mcq", adapter_name_or_path="now/sft")
    run = McqRun(model="m", settings=McqSettings(merged_adapters=("now/sft",)))
    settle_earlier_run(moved, planned(moved, stage="mcq", adapters=("a" * 64,)), run)
    with pytest.raises(UserError, match="other weights"):
        settle_earlier_run(moved, planned(moved, stage="mcq", adapters=("b" * 64,)), run)


def test_a_command_that_names_a_checkpoint_of_another_run_is_not_repeated(tmp_path):
    """Given twice, it trained again from that checkpoint and set its own end aside."""
    named = {"resume_from_checkpoint": kept(tmp_path / "other", 20), "num_train_epochs": 3}
    given = flags(tmp_path / "out", **named)
    assert settle(given).checkpoint == named["resume_from_checkpoint"]
    kept(tmp_path / "out", 30, given=given)
    finished(tmp_path / "out", given=given)
    with pytest.raises(UserError, match="holds a finished run: step 30"):
        settle(given)
    longer = flags(tmp_path / "out", **named | {"num_train_epochs": 4})
    assert settle(longer).checkpoint == named["resume_from_checkpoint"]
    (tmp_path / "out/predict_results.json").unlink()
    lacking = settle(flags(tmp_path / "out", **named, do_predict=True))
    assert lacking.checkpoint == tmp_path / "out/checkpoint-30", "only the results are missing"
    over = flags(tmp_path / "out", **named, overwrite_output_dir=True)
    assert settle(over).checkpoint == named["resume_from_checkpoint"]


def test_what_another_run_left_is_set_aside_where_a_named_checkpoint_goes_on(tmp_path):
    """The end had the other run's weights: its checkpoint had the number of the best one."""
    another = flags(tmp_path / "out", seed=7)
    left = [kept(tmp_path / "out", step, given=another) for step in (10, 20)]
    named = kept(tmp_path / "start", 20, best=10, best_folder=kept(tmp_path / "start", 10))
    for more in ({}, {"overwrite_output_dir": True}):
        given = flags(tmp_path / "out", resume_from_checkpoint=named, load_best_model_at_end=True, **more)
        assert settle(given).replaced == tuple(left)
    # The new lines were appended to the log. One that is overwritten is deleted by upstream.
    log = tmp_path / "out" / "trainer_log.jsonl"
    log.write_text("{}")
    for more, replaced in (({}, (*left, log)), ({"overwrite_output_dir": True}, tuple(left))):
        assert settle(flags(tmp_path / "out", resume_from_checkpoint=named, **more)).replaced == replaced


def test_a_linked_checkpoint_belongs_to_the_folder_of_the_link(tmp_path):
    first, moved = kept(tmp_path / "out", 10), kept(tmp_path / "elsewhere", 20)
    link = tmp_path / "out" / "checkpoint-20"
    link.symlink_to(moved)
    earlier = settle(flags(tmp_path / "out", resume_from_checkpoint=link))
    assert (earlier.checkpoint, earlier.replaced) == (link, ())
    assert settle(flags(tmp_path / "out", resume_from_checkpoint=first)).replaced == (link,)


def test_an_overwriting_run_from_a_named_checkpoint_resumes_itself(tmp_path):
    """It began at the named checkpoint again, and set aside what this command had saved."""
    named = {"resume_from_checkpoint": kept(tmp_path / "start", 10)}
    over = flags(tmp_path / "out", **named, overwrite_output_dir=True)
    own = kept(tmp_path / "out", 20, given=over)
    assert settle(over).checkpoint == own
    for other in ({}, {"resume_from_checkpoint": kept(tmp_path / "start", 5)}):
        given = flags(tmp_path / "out", **other, overwrite_output_dir=True)
        assert settle(given).checkpoint == other.get("resume_from_checkpoint"), "another command begins afresh"


def test_an_overwriting_run_that_was_killed_in_its_prediction_only_predicts(tmp_path):
    """The same command trained everything again."""
    over = flags(tmp_path, overwrite_output_dir=True, do_predict=True)
    folder = kept(tmp_path, 30, given=over)
    finished(tmp_path, given=over)
    assert settle(over).checkpoint is None, "with all its results it is overwritten"
    (tmp_path / "predict_results.json").unlink()
    assert settle(flags(tmp_path, do_predict=True, overwrite_output_dir=True, seed=1)).checkpoint is None
    assert settle(over).checkpoint == folder
    finished(tmp_path, given=flags(tmp_path, overwrite_output_dir=True))
    (tmp_path / "predict_results.json").unlink()
    assert settle(over).checkpoint is None, "the finished run was not to predict"
