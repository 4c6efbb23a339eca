"""An earlier run in the same --output_dir: finished ones are protected, unfinished ones resume."""

from __future__ import annotations

from pathlib import Path

from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight_mcq import check_checkpoint
from llmtuner.errors import UserError
from llmtuner.mcq.run import McqRun
from llmtuner.runs.changes import changes_of, same
from llmtuner.runs.checkpoints import (
    Checkpoint,
    EarlierRun,
    all_of,
    checkpoint_at,
    final_files,
    find_checkpoints,
    finished_run,
    holds_run,
    newest_sound,
)
from llmtuner.runs.manifest import Manifest
from llmtuner.spec.model_files import TRAINER_LOG
from llmtuner.spec.results import results_of
from llmtuner.spec.resume import EARLY_STOPPING, LENGTH
from llmtuner.spec.upstream_flags import ADAPTER_TYPES

AFRESH = "pass --overwrite_output_dir to train afresh, or another --output_dir"


def settle_earlier_run(flags: Flags, planned: Manifest, run: McqRun | None = None) -> EarlierRun:
    """Decide between a fresh run, resuming, and refusing.

    Args:
        planned: the manifest that this training would write, without steps and files.
        run: of stage mcq, whose settings a checkpoint must have.

    Raises:
        UserError: the earlier run is finished, its settings are not those of this one, no checkpoint is complete, or
            the training would replace the model or adapter that it starts from.
    """
    earlier = _settled(flags, planned, run)
    adapters = flags.names("adapter_name_or_path") if run is None else run.adapters
    for source in (flags["model_name_or_path"], *adapters):
        _check_source(source, "starts from", Path(flags["output_dir"] or ""), earlier)
    _check_source(flags["retrieve_rerank"], "reranks with", Path(flags["output_dir"] or ""), earlier)
    return earlier


def _check_source(source: str | None, role: str, output_dir: Path, earlier: EarlierRun) -> None:
    """Refuse to train into the folder of a model or adapter that the training starts from, or of its reranker.

    Its files would be set aside. What was trained would then name itself as its base or reranker, and the same command
    could not resume.
    """
    if source is None or not output_dir.is_dir() or not Path(source).is_dir():
        return
    folder, replaced = Path(source).resolve(), [path.resolve() for path in earlier.replaced]
    if folder == output_dir.resolve() or any(path in (folder, *folder.parents) for path in replaced):
        raise UserError(
            f"--output_dir {output_dir}: the training {role} {source}, whose files it would replace; pass another "
            "--output_dir"
        )


def _settled(flags: Flags, planned: Manifest, run: McqRun | None) -> EarlierRun:
    named = _named_checkpoint(flags)
    output_dir = Path(flags["output_dir"] or "")
    is_there = flags["output_dir"] is not None and output_dir.is_dir()
    if named is not None:
        return _resume_named(named, output_dir if is_there else None, flags, planned, run)
    if not is_there:
        return EarlierRun()
    if flags["overwrite_output_dir"]:
        return _overwrite(output_dir, flags, planned, run)
    finished, line = finished_run(output_dir)
    if finished is not None:
        return _beyond_finished(output_dir, finished, flags, planned, run)
    return _unfinished(output_dir, (line,) if line else (), flags, planned, run)


def _named_checkpoint(flags: Flags) -> Path | None:
    """The folder of --resume_from_checkpoint. "true" means the last complete checkpoint, as without the flag."""
    word = flags["resume_from_checkpoint"]
    if word is not None and word.lower() == "false":
        raise UserError("--resume_from_checkpoint false: pass --overwrite_output_dir to train afresh")
    return _path_of(word)


def _path_of(word: str | None) -> Path | None:
    return None if word is None or word.lower() == "true" else Path(word)


def _resume_named(
    folder: Path, output_dir: Path | None, flags: Flags, planned: Manifest, run: McqRun | None
) -> EarlierRun:
    finished = None if output_dir is None else finished_run(output_dir)[0]
    places = (folder.resolve().parent, folder.parent.resolve())  # a checkpoint in the folder may be a link
    same_folder = output_dir is not None and output_dir.resolve() in places
    elsewhere = None if same_folder else output_dir  # this command may have begun there
    if elsewhere is not None and finished is not None and not flags["overwrite_output_dir"]:
        is_ended = _progress(finished, flags, planned) >= 0 or _stopped_early(finished, planned)
        if is_ended:
            return _beyond_finished(elsewhere, finished, flags, planned, run)
    if finished_run(folder)[0] is not None:
        raise UserError(
            f"--resume_from_checkpoint {folder}: the output folder of a finished run, not a checkpoint; pass one of "
            "its checkpoint-N folders, or leave the flag out to train more epochs in that folder"
        )
    checkpoint = checkpoint_at(folder)
    if checkpoint.defect:
        raise UserError(f"--resume_from_checkpoint {folder}: not a complete checkpoint: {checkpoint.defect}")
    if checkpoint.step == 0:
        checkpoint = Checkpoint(folder, checkpoint.saved_step, True)
    own = None if elsewhere is None else _own_run(elsewhere, flags, planned, run)
    if own is not None:
        return own
    progress = _progress(checkpoint, flags, planned)
    if progress > 0 or (progress == 0 and (finished is not None or not same_folder)):
        raise UserError(
            f"--resume_from_checkpoint {folder}: {_at(checkpoint)}; the training would end there or before, and train "
            "nothing. Pass a larger --num_train_epochs or --max_steps"
        )
    lines = _resume_lines(checkpoint, flags, planned, run)
    if output_dir is None:
        return EarlierRun(folder, lines)
    if elsewhere is not None:  # what is there belongs to another run; upstream deletes a log that is overwritten
        log = elsewhere / TRAINER_LOG
        has_log = log.is_file() and not flags["overwrite_output_dir"]
        return EarlierRun(folder, lines, (*all_of(elsewhere), *([log] if has_log else [])))
    return EarlierRun(folder, lines, _replaced(output_dir, checkpoint.step, keep=folder))


def _overwrite(output_dir: Path, flags: Flags, planned: Manifest, run: McqRun | None) -> EarlierRun:
    """Start over; but the same overwriting command, repeated after it was interrupted, resumes its own run."""
    return _own_run(output_dir, flags, planned, run) or EarlierRun(None, (), all_of(output_dir))


def _own_run(output_dir: Path, flags: Flags, planned: Manifest, run: McqRun | None) -> EarlierRun | None:
    """What the same command saved before it was interrupted, to resume from; None if there is nothing."""
    last = newest_sound(find_checkpoints(output_dir))
    manifest = None if last is None else last.manifest
    if last is None or manifest is None or not _begins_alike(manifest, planned):
        return None
    changes = changes_of(manifest, planned)
    is_same = manifest.stage == planned.stage and not changes.refused and not changes.taken_up
    if not is_same or _is_complete(output_dir, planned) or _progress(last, flags, planned) > 0:
        return None
    own = f"{last.folder} was saved by this command before it was interrupted"
    return _unfinished(output_dir, (own,), flags, planned, run)


def _is_complete(output_dir: Path, planned: Manifest) -> bool:
    """Whether a folder holds a finished training with its results, or one that was to have other results."""
    finished = finished_run(output_dir)[0]
    if finished is None:
        return False
    wanted, now = (results_of(each.settings.get) for each in (finished, planned))
    return wanted != now or not _lacks_results(output_dir, finished, planned)


def _begins_alike(stored: Manifest, planned: Manifest) -> bool:
    """Whether a run began where this one would: afresh, or at the same named checkpoint.

    A run that was not told to overwrite is one that the user overwrites now.
    """
    starts = [_path_of(each.settings.get("resume_from_checkpoint")) for each in (stored, planned)]
    overwrites = [bool(each.settings.get("overwrite_output_dir")) for each in (stored, planned)]
    return starts[0] == starts[1] and overwrites[0] >= overwrites[1]


def _beyond_finished(
    output_dir: Path, finished: Manifest, flags: Flags, planned: Manifest, run: McqRun | None
) -> EarlierRun:
    """More steps of a finished run, from its last checkpoint.

    Raises:
        UserError: nothing would be trained, or with other data or settings.
    """
    _check_stage(output_dir, finished, planned)
    refused = changes_of(finished, planned).refused
    if refused:
        raise UserError(
            f"--output_dir {output_dir} holds a finished run with other data or settings: {'; '.join(refused)}; "
            f"{AFRESH}"
        )
    progress = _progress(finished, flags, planned)
    stopped_early = _stopped_early(finished, planned)
    if progress > 0 or ((progress == 0 or stopped_early) and not _lacks_results(output_dir, finished, planned)):
        early = f" of {finished.max_steps}, where it stopped early" if stopped_early else ""
        raise UserError(_finished(output_dir, finished.step, finished.epoch, early))
    return _unfinished(output_dir, (), flags, planned, run)


def _lacks_results(output_dir: Path, finished: Manifest, planned: Manifest) -> bool:
    """Whether results are missing that this command would make of the last checkpoint, without another step."""
    lacks = any(not (output_dir / name).exists() for name in results_of(planned.settings.get))
    return lacks and any(each.step == finished.step and not each.defect for each in find_checkpoints(output_dir))


def _stopped_early(finished: Manifest, planned: Manifest) -> bool:
    """Whether a finished training stopped before its last step, and would stop there again."""
    stored = finished.settings
    return (
        finished.step < finished.max_steps
        and stored.get(EARLY_STOPPING) is not None
        and _same_length(finished, planned)
    )


def _unfinished(
    output_dir: Path, lines: tuple[str, ...], flags: Flags, planned: Manifest, run: McqRun | None
) -> EarlierRun:
    """Resume from the newest checkpoint that verifies, or begin if none was ever complete."""
    checkpoints = find_checkpoints(output_dir)
    last = newest_sound(checkpoints)
    skipped = [each for each in checkpoints if last is None or each.step > last.step]
    lines = (*lines, *(f"skipped {each.folder}: {each.defect}" for each in skipped))
    if last is None:
        return _begin(output_dir, checkpoints, lines)
    progress = _progress(last, flags, planned)
    was_finished = last.before_manifests and any(path.suffix == ".safetensors" for path in final_files(output_dir))
    if last.manifest is not None:
        _check_stage(last.folder, last.manifest, planned)
    if progress > 0 or (progress == 0 and was_finished):
        raise UserError(_finished(output_dir, last.step, last.epoch))
    resumed = _resume_lines(last, flags, planned, run)
    if progress == 0:
        resumed += ("all steps are done: only the final weights and results are missing",)
    return EarlierRun(last.folder, (*lines, *resumed), _replaced(output_dir, last.step, keep=last.folder))


def _begin(output_dir: Path, checkpoints: list[Checkpoint], lines: tuple[str, ...]) -> EarlierRun:
    """Begin in a folder whose run was killed before its first checkpoint was complete.

    Raises:
        UserError: there was a complete checkpoint, and it is damaged; or the folder has weights of a finished run.
    """
    why = f" ({'; '.join(lines)})" if lines else ""
    if not all(each.partial for each in checkpoints):
        raise UserError(f"--output_dir {output_dir} holds no complete checkpoint to resume from{why}; {AFRESH}")
    if holds_run(output_dir):
        raise UserError(
            f"--output_dir {output_dir} holds the weights of an earlier run, without checkpoints{why}; {AFRESH}"
        )
    return EarlierRun(None, lines, all_of(output_dir))


def _replaced(output_dir: Path, step: int, keep: Path) -> tuple[Path, ...]:
    """What is set aside before a training resumes: an earlier end, and checkpoints that lie ahead."""
    ahead = [each.folder for each in find_checkpoints(output_dir) if each.step > step or each.partial]
    return (*final_files(output_dir), *(folder for folder in ahead if folder.resolve() != keep.resolve()))


def _check_stage(where: Path, stored: Manifest, planned: Manifest) -> None:
    if stored.stage != planned.stage:
        raise UserError(f"{where} holds a run of stage {stored.stage}, and this is stage {planned.stage}; {AFRESH}")


def _check_kind(checkpoint: Checkpoint, flags: Flags) -> None:
    """An adapter cannot resume as a full model, nor a full model as an adapter."""
    kind = flags["finetuning_type"]
    is_adapter = (checkpoint.folder / "adapter_config.json").is_file()
    if is_adapter != (kind in ADAPTER_TYPES):
        content = "an adapter" if is_adapter else "a whole model"
        raise UserError(f"{checkpoint.folder} is {content} and cannot resume with --finetuning_type {kind}; {AFRESH}")


def _progress(reached: Checkpoint | Manifest, flags: Flags, planned: Manifest) -> int:
    """Whether a run stands before the planned end of the training (-1), at it (0), or beyond it (1)."""
    stored = reached if isinstance(reached, Manifest) else reached.manifest
    last = flags["max_steps"]
    if stored is not None and _same_length(stored, planned):
        last = stored.max_steps  # half an epoch of three steps ends at the second one, so at two thirds
    if last > 0:
        return (reached.step > last) - (reached.step < last)
    ahead = reached.epoch - flags["num_train_epochs"]
    return 0 if abs(ahead) < 1e-6 else (1 if ahead > 0 else -1)


def _same_length(stored: Manifest, planned: Manifest) -> bool:
    return all(same(stored.settings.get(name), planned.settings.get(name)) for name in LENGTH)


def _at(checkpoint: Checkpoint) -> str:
    return f"step {checkpoint.step}, epoch {checkpoint.epoch:g}"


def _finished(output_dir: Path, step: int, epoch: float, early: str = "") -> str:
    longer = f"--{EARLY_STOPPING}" if early else "--num_train_epochs (or --max_steps)"
    return (
        f"--output_dir {output_dir} holds a finished run: step {step}{early}, epoch {epoch:g}. Running it again would "
        f"train nothing and overwrite its results. Pass a larger {longer} to continue it, "
        "--overwrite_output_dir to train it afresh, or another --output_dir. For a prediction alone, leave out "
        "--do_train"
    )


def _resume_lines(checkpoint: Checkpoint, flags: Flags, planned: Manifest, run: McqRun | None) -> tuple[str, ...]:
    """Check that the checkpoint can be resumed, and say what is.

    Raises:
        UserError: settings that shape the training differ, or the best checkpoint is gone.
    """
    _check_kind(checkpoint, flags)
    taken_up: tuple[str, ...] = ()
    if checkpoint.manifest is not None:
        _check_stage(checkpoint.folder, checkpoint.manifest, planned)
        changes = changes_of(checkpoint.manifest, planned)
        if changes.refused:
            raise UserError(
                f"{checkpoint.folder} cannot resume with other settings: {'; '.join(changes.refused)}; pass the stored "
                f"values, or {AFRESH}"
            )
        taken_up = tuple(f"resumed with {line}" for line in changes.taken_up)
    if run is not None:
        check_checkpoint(checkpoint.folder, run, same_adapters=checkpoint.manifest is not None)
    _check_best(checkpoint, flags)
    line = (
        f"resuming from {checkpoint.folder}: step {checkpoint.step} (of {checkpoint.max_steps} planned then), epoch "
        f"{checkpoint.epoch:.2f}; restored: {', '.join(('weights', *checkpoint.states))}"
    )
    if checkpoint.missing_states:
        line += f"; NOT restored, because not saved: {', '.join(checkpoint.missing_states)}"
    return (line, *taken_up)


def _check_best(checkpoint: Checkpoint, flags: Flags) -> None:
    """The best checkpoint so far must be there: the training may have to end with it.

    Raises:
        UserError: it is gone or damaged.
    """
    best = checkpoint.best if flags["load_best_model_at_end"] else None
    if best is not None and best.damage:
        raise UserError(
            f"--load_best_model_at_end: the best checkpoint so far, {best.folder} (saved as {checkpoint.best_folder}), "
            f"is needed at the end: {best.damage}. Copy it there, or pass --load_best_model_at_end false; or {AFRESH}"
        )
