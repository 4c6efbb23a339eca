"""Checkpoint folders of a training: which are complete, what each holds, and how old files are set aside."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from llmtuner.data.problems import terminal_path
from llmtuner.errors import UserError
from llmtuner.runs.adapter import CONVERTED
from llmtuner.runs.lock import was_training
from llmtuner.runs.manifest import (
    CHECKPOINT_MANIFEST,
    MERGED_TRAINING,
    RUN_MANIFEST,
    Manifest,
    defect_of,
    read_manifest,
)
from llmtuner.runs.trained import TRAINED
from llmtuner.runs.weights import REPLACED, weight_files
from llmtuner.spec.model_files import ALL_RESULTS, EVAL_RESULTS, PREDICT_RESULTS, TRAIN_RESULTS, TRAINER_STATE

CHECKPOINT = re.compile(r"checkpoint-(\d+)")
# The parts of a training's state, and the files that hold them.
_STATES = {
    "optimizer": ("optimizer.pt", "optimizer.bin", "global_step*", "optimizer_*"),
    "schedule": ("scheduler.pt", "global_step*"),
    "random state": ("rng_state*.pth",),
}
_REMOVED = ".removed-"  # the start of a checkpoint's name while it is deleted
_SHARDED_WEIGHTS = ("global_step*", "pytorch_model_fsdp*")
# What a finished run leaves beside its weights; a new run sets these aside. The README may be the user's own, which
# a training would replace, or fail at because it is no model card.
RESULTS = (
    "adapter_config.json",
    "config.json",
    "mcq_config.json",
    "model.safetensors.index.json",
    TRAIN_RESULTS,
    EVAL_RESULTS,
    ALL_RESULTS,
    PREDICT_RESULTS,
    "predictions.jsonl",
    "generated_predictions.jsonl",
    "submission.csv",
    TRAINER_STATE,
    MERGED_TRAINING,
    TRAINED,
    "README.md",
)


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """What a training does with the earlier run in its folder.

    Args:
        checkpoint: where it resumes; None to begin.
        notices: lines for the user.
        replaced: files and folders to set aside before the first step.
    """

    checkpoint: Path | None = None
    notices: tuple[str, ...] = ()
    replaced: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder.

    Args:
        folder: its path.
        step: of its name.
        before_manifests: whether its run was made before there were manifests; then only small files are looked at.
    """

    folder: Path
    step: int
    before_manifests: bool = False

    @cached_property
    def manifest(self) -> Manifest | None:
        """Its manifest; None if it has none, or a damaged one."""
        try:
            return read_manifest(self.folder / CHECKPOINT_MANIFEST)
        except UserError:
            return None

    @property
    def partial(self) -> bool:
        """Whether it was never saved to its end: the manifest is written last, and before it the trainer's state."""
        if not self.before_manifests:
            return not (self.folder / CHECKPOINT_MANIFEST).exists()
        return bool(self._state_defect)

    @property
    def defect(self) -> str:
        """Why a training cannot resume from it; "" if it can."""
        if self.damage or self.before_manifests or not self.missing_states:
            return self.damage
        return f"it was saved without {', '.join(self.missing_states)} (--save_only_model)"

    @cached_property
    def damage(self) -> str:
        """Why its weights are not those that were saved; "" if they are. Reads every file that the manifest lists.

        Weights alone can be the best ones of a training, which needs no more of them at its end.
        """
        if not self.folder.is_dir():
            return "no such folder"
        if not self.before_manifests:
            if self.partial:
                return f"{CHECKPOINT_MANIFEST} is missing (killed while saving?)"
            if self.manifest is None:
                return f"{CHECKPOINT_MANIFEST} is damaged"
            changed = defect_of(self.folder, self.manifest)
            if changed:
                return changed
        return self._state_defect or self._weights_defect or self._name_defect

    @cached_property
    def states(self) -> tuple[str, ...]:
        """The parts of the training's state that it holds."""
        return tuple(
            state for state, names in _STATES.items() if any(any(self.folder.glob(pattern)) for pattern in names)
        )

    @property
    def missing_states(self) -> tuple[str, ...]:
        """The parts that it does not hold."""
        return tuple(state for state in _STATES if state not in self.states)

    @property
    def saved_step(self) -> int:
        """The step at which it was saved, whatever its name says; only for one without a defect."""
        return int(self._state["global_step"])  # type: ignore[call-overload]

    @property
    def max_steps(self) -> int:
        """The steps that were planned when it was saved."""
        return self._progress[0]

    @property
    def epoch(self) -> float:
        """How many passes over the data were done."""
        return self._progress[1]

    @cached_property
    def best_step(self) -> int | None:
        """The step of the best checkpoint so far, if the training looks for the best and its state can be read.

        Earlier versions did not save each best evaluation: `best_global_step` may be a step without a checkpoint.
        """
        if self._state_defect or not self.best_folder:
            return None
        named = CHECKPOINT.fullmatch(Path(self.best_folder).name)
        best = int(named[1]) if named else self._state.get("best_global_step")
        return best if isinstance(best, int) and best else None

    @property
    def for_best(self) -> bool:
        """Whether it was saved only because its evaluation was the best so far."""
        return self.manifest is not None and self.manifest.for_best

    @property
    def best_folder(self) -> str:
        """Where the best checkpoint so far was when this one was saved."""
        return str(self._state.get("best_model_checkpoint") or "")

    @property
    def best(self) -> Checkpoint | None:
        """The best checkpoint so far; None if the training does not look for the best.

        It is beside this one: folders may have moved since. Only if none is there, it is where it was: a training that
        began at a checkpoint of another folder leaves its best one there.
        """
        if self.best_step is None:
            return None
        if self.best_step == self.saved_step:  # whatever the name of this folder
            return self
        beside = checkpoint_at(self.folder.resolve().parent / f"checkpoint-{self.best_step}")
        before = checkpoint_at(Path(self.best_folder).resolve())
        if beside.folder.exists() or before.step != self.best_step or before.damage:
            return beside
        return before

    @cached_property
    def _state(self) -> dict[str, object]:
        state = json.loads((self.folder / TRAINER_STATE).read_text(encoding="utf-8"))
        if not isinstance(state, dict):
            raise TypeError("no object")
        return state

    @cached_property
    def _progress(self) -> tuple[int, float]:
        return int(self._state["max_steps"]), float(self._state["epoch"] or 0.0)  # type: ignore[call-overload,arg-type]

    @cached_property
    def _state_defect(self) -> str:
        try:
            if int(self._state["global_step"]) and self._progress:  # type: ignore[call-overload]
                return ""
            return f"{TRAINER_STATE} is damaged: no step was done"
        except FileNotFoundError:
            return f"{TRAINER_STATE} is missing (killed while saving?)"
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            return f"{TRAINER_STATE} is damaged: {error}"

    @property
    def _name_defect(self) -> str:
        """A renamed or copied folder would be taken for a later state of the training than it is."""
        return f"it was saved as checkpoint-{self.saved_step}" if self.step not in (0, self.saved_step) else ""

    @cached_property
    def _weights_defect(self) -> str:
        weights = weight_files(self.folder)
        sharded = any(any(self.folder.glob(pattern)) for pattern in _SHARDED_WEIGHTS)
        if (not weights and not sharded) or any(path.stat().st_size == 0 for path in weights):
            return "its weights are missing or empty"
        return ""


def checkpoint_at(folder: Path) -> Checkpoint:
    """A folder that the user names: it counts as made before manifests if it has none."""
    match = CHECKPOINT.fullmatch(folder.name)
    return Checkpoint(folder, int(match[1]) if match else 0, not (folder / CHECKPOINT_MANIFEST).exists())


def find_checkpoints(output_dir: Path) -> list[Checkpoint]:
    """All checkpoint folders of an output folder, sorted by step."""
    folders = [path for path in output_dir.iterdir() if path.is_dir() and CHECKPOINT.fullmatch(path.name)]
    manifests = [output_dir / RUN_MANIFEST, *(folder / CHECKPOINT_MANIFEST for folder in folders)]
    old = not any(path.exists() for path in manifests) and not is_unfinished(output_dir)
    checkpoints = [Checkpoint(folder, int(folder.name.partition("-")[2]), old) for folder in folders]
    return sorted(checkpoints, key=lambda checkpoint: checkpoint.step)


def newest_sound(checkpoints: Sequence[Checkpoint]) -> Checkpoint | None:
    """The last one without a defect; None if there is none. Older ones are not read."""
    return next((checkpoint for checkpoint in reversed(checkpoints) if not checkpoint.defect), None)


def superseded(checkpoints: Sequence[Checkpoint], limit: int | None, spared: Collection[Path]) -> list[Checkpoint]:
    """The checkpoints that are not needed once the newest one is sound.

    These are the oldest ones beyond --save_total_limit, and those that were saved only as the best ones so far. A
    training that resumes with --load_best_model_at_end needs the checkpoint that was the best one when its own was
    saved, so the best one of each checkpoint that stays is kept too: at most one more for the newest `limit`, because
    a later best one is among them.

    Args:
        checkpoints: sorted by step.
        limit: how many of the newest stay; None for all.
        spared: resolved folders of others that stay.
    """
    planned = [each for each in checkpoints if each is checkpoints[-1] or not each.for_best]
    newest = planned[-limit:] if limit else planned
    stay = [each for each in checkpoints if each in newest or each.folder.resolve() in spared]
    steps = {each.step for each in stay} | {each.best_step for each in stay}
    return [each for each in checkpoints if each.step not in steps]


def finished_run(output_dir: Path) -> tuple[Manifest | None, str]:
    """The manifest of the finished training in a folder, and why there is none although run.json exists.

    Returns:
        a manifest whose files verify, or None; and a line about a run.json that does not verify, or ""
    """
    try:
        manifest = read_manifest(output_dir / RUN_MANIFEST)
    except UserError as error:
        return None, str(error)
    if manifest is None:
        return None, ""
    damage = defect_of(output_dir, manifest)
    return (
        (None, f"{output_dir / RUN_MANIFEST}: the run does not count as finished: {damage}")
        if damage
        else (
            manifest,
            "",
        )
    )


def is_unfinished(output_dir: Path) -> bool:
    """Whether a folder is that of a training with manifests that was killed before its end."""
    ended = (output_dir / RUN_MANIFEST, output_dir / TRAIN_RESULTS)
    return was_training(output_dir) and not any(path.exists() for path in ended)


def final_files(output_dir: Path) -> list[Path]:
    """What an earlier run ended with and a new one would replace; run.json first, since it vouches for the others."""
    names = [RUN_MANIFEST, *RESULTS, *(path.name for path in weight_files(output_dir))]
    try:
        manifest = read_manifest(output_dir / RUN_MANIFEST)
        names += [] if manifest is None else list(manifest.files)
    except UserError:  # damaged: the names above are those that matter
        names += []
    files = [output_dir / name for name in dict.fromkeys(names) if (output_dir / name).is_file()]
    converted = output_dir / CONVERTED  # a folder, with an adapter of the same training
    return [*files, *([converted] if converted.is_dir() else [])]


def holds_run(folder: Path) -> bool:
    """Whether a folder holds a model or a training: whole weights, or a checkpoint that was saved to its end."""
    if not folder.is_dir():
        return False
    is_whole = bool(weight_files(folder)) and not is_unfinished(folder)
    return is_whole or not all(each.partial for each in find_checkpoints(folder))


def all_of(output_dir: Path) -> tuple[Path, ...]:
    """What a run that starts afresh sets aside: the final files and all checkpoints of the earlier one."""
    return (*final_files(output_dir), *(each.folder for each in find_checkpoints(output_dir)))


def remove_partial(output_dir: Path) -> None:
    """Delete checkpoints that were never saved to their end, so that they take no space."""
    for checkpoint in find_checkpoints(output_dir):
        if checkpoint.partial:
            remove_checkpoint(checkpoint.folder)


def remove_checkpoint(folder: Path) -> None:
    """Delete a checkpoint; of one that the user moved elsewhere and linked, the link alone."""
    if folder.is_symlink():
        folder.unlink()
        return
    shutil.rmtree(folder.rename(folder.with_name(f"{_REMOVED}{folder.name}")))  # what a kill leaves is no checkpoint


def finish_removals(output_dir: Path) -> None:
    """Delete what is left of checkpoints whose removal was killed."""
    for path in output_dir.glob(f"{_REMOVED}checkpoint-*"):
        shutil.rmtree(path)


def set_aside(paths: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Rename files and folders to `replaced-NAME`, so that none is mistaken for one of the new run; nothing is deleted.

    Yields:
        old and new path of each.
    """
    for path in paths:
        target, number = path.with_name(f"{REPLACED}{path.name}"), 1
        while target.exists():
            number += 1
            target = path.with_name(f"{REPLACED}{number}-{path.name}")
        path.rename(target)
        yield path, target


def set_all_aside(paths: Iterable[Path]) -> None:
    """Set files and folders aside, and say where they are now."""
    for old, new in set_aside(paths):
        print(f"note: {terminal_path(old.name)} of the earlier run is {terminal_path(new)} now", file=sys.stderr)
