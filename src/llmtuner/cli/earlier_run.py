"""An earlier run in the same --output_dir: finished ones are protected, unfinished ones resume."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight_mcq import check_checkpoint
from llmtuner.cli.process import is_first_process
from llmtuner.errors import UserError
from llmtuner.mcq.run import McqRun

CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The step of a checkpoint and the parts of the run's state that it holds, read from its small files."""

    folder: Path
    step: int
    max_steps: int = 0
    epoch: float = 0.0
    defects: tuple[str, ...] = ()
    restored: tuple[str, ...] = field(default=())
    not_restored: tuple[str, ...] = field(default=())


def settle_earlier_run(flags: Flags, run: McqRun | None = None) -> tuple[Path | None, tuple[str, ...]]:
    """Decide whether to start a fresh run or to resume; refuse a run that would train nothing and overwrite results.

    Args:
        run: of stage mcq, whose settings a checkpoint must have.

    Returns:
        the checkpoint to resume from (or None), and lines for the user

    Raises:
        UserError: the earlier run is finished, or the given checkpoint is incomplete.
    """
    given = _given_checkpoint(flags)
    if given is not None:
        checkpoint = inspect_checkpoint(given)
        if checkpoint.defects:
            raise UserError(f"--resume_from_checkpoint {given}: not a complete checkpoint: {checkpoint.defects[0]}")
        return given, (_resume_line(checkpoint, flags, run),)
    output_dir = Path(flags["output_dir"] or "")
    if flags["output_dir"] is None or not output_dir.is_dir() or flags["overwrite_output_dir"]:
        return None, ()
    checkpoints = find_checkpoints(output_dir)
    complete = [checkpoint for checkpoint in checkpoints if not checkpoint.defects]
    skipped = tuple(
        f"skipped {checkpoint.folder}: {checkpoint.defects[0]}"
        for checkpoint in checkpoints
        if checkpoint.defects and (not complete or checkpoint.step > complete[-1].step)
    )
    if not complete:
        _refuse_without_checkpoint(output_dir, checkpoints, skipped)
        return None, ()
    last = complete[-1]
    if _is_finished(last, flags):
        raise UserError(_finished(last, output_dir))
    return last.folder, (*skipped, _resume_line(last, flags, run))


def _refuse_without_checkpoint(output_dir: Path, checkpoints: list[Checkpoint], skipped: tuple[str, ...]) -> None:
    if checkpoints:
        raise UserError(
            f"--output_dir {output_dir} holds no complete checkpoint to resume from ({'; '.join(skipped)}); pass "
            "--overwrite_output_dir to train afresh, or another --output_dir"
        )
    if any(output_dir.glob("*.safetensors")):
        raise UserError(
            f"--output_dir {output_dir} holds the weights of a finished run, without checkpoints; pass "
            "--overwrite_output_dir to train afresh, or another --output_dir"
        )


def _given_checkpoint(flags: Flags) -> Path | None:
    """The folder of --resume_from_checkpoint. "true" means the last complete checkpoint, as without the flag."""
    word = flags["resume_from_checkpoint"]
    if word is None or word.lower() == "true":
        return None
    if word.lower() == "false":
        raise UserError(
            "--resume_from_checkpoint false: expected a folder; to train afresh, pass --overwrite_output_dir"
        )
    return Path(word)


def set_aside(output_dir: Path) -> None:
    """Rename the old checkpoints when a run starts over, so that none is mistaken for one of the new run.

    Only the first process renames; nothing is deleted.
    """
    if not output_dir.is_dir() or not is_first_process():
        return
    for checkpoint in find_checkpoints(output_dir):
        number, target = 1, output_dir / f"replaced-{checkpoint.folder.name}"
        while target.exists():
            number, target = number + 1, output_dir / f"replaced-{checkpoint.folder.name}-{number + 1}"
        checkpoint.folder.rename(target)
        print(f"note: renamed {checkpoint.folder.name} of the earlier run to {target}", file=sys.stderr)


def find_checkpoints(output_dir: Path) -> list[Checkpoint]:
    """All checkpoint folders, sorted by step."""
    folders = [path for path in output_dir.iterdir() if path.is_dir() and CHECKPOINT.fullmatch(path.name)]
    return sorted((inspect_checkpoint(folder) for folder in folders), key=lambda checkpoint: checkpoint.step)


def inspect_checkpoint(folder: Path) -> Checkpoint:
    """Look at a checkpoint without loading any weights."""
    match = CHECKPOINT.fullmatch(folder.name)
    step = int(match[1]) if match else 0
    if not folder.is_dir():
        return Checkpoint(folder, step, defects=("no such folder",))
    try:
        state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
        step, max_steps, epoch = int(state["global_step"]), int(state["max_steps"]), float(state["epoch"] or 0.0)
    except FileNotFoundError:
        return Checkpoint(folder, step, defects=("trainer_state.json is missing (killed while saving?)",))
    except (ValueError, KeyError, TypeError) as error:
        return Checkpoint(folder, step, defects=(f"trainer_state.json is damaged: {error}",))
    weights = list(folder.glob("*.safetensors"))
    if not weights or any(path.stat().st_size == 0 for path in weights):
        return Checkpoint(folder, step, defects=("its weights are missing or empty",))
    states = {
        "optimizer": (folder / "optimizer.pt").is_file() or any(folder.glob("global_step*")),
        "schedule": (folder / "scheduler.pt").is_file(),
        "random state": any(folder.glob("rng_state*.pth")),
    }
    return Checkpoint(
        folder,
        step,
        max_steps,
        epoch,
        restored=("weights", *(name for name, is_saved in states.items() if is_saved)),
        not_restored=tuple(name for name, is_saved in states.items() if not is_saved),
    )


def _check_kind(checkpoint: Checkpoint, flags: Flags) -> None:
    """An adapter cannot resume as a full model, nor a full model as an adapter."""
    kind = flags["finetuning_type"]
    is_adapter = (checkpoint.folder / "adapter_config.json").is_file()
    if is_adapter != (kind in ("lora", "oft")):
        content = "an adapter" if is_adapter else "a whole model"
        raise UserError(
            f"{checkpoint.folder} is {content} and cannot resume with --finetuning_type {kind}; pass another "
            "--output_dir, or --overwrite_output_dir to train afresh"
        )


def _is_finished(checkpoint: Checkpoint, flags: Flags) -> bool:
    if flags["max_steps"] > 0:
        return checkpoint.step >= flags["max_steps"]
    return checkpoint.epoch >= flags["num_train_epochs"] - 1e-6


def _finished(checkpoint: Checkpoint, output_dir: Path) -> str:
    return (
        f"--output_dir {output_dir} holds a finished run: {checkpoint.folder.name}, step {checkpoint.step}, epoch "
        f"{checkpoint.epoch:g}. Running it again would train nothing and overwrite its results. Pass "
        "--overwrite_output_dir to train it afresh, a larger --num_train_epochs (or --max_steps) to train further, or "
        "another --output_dir"
    )


def _resume_line(checkpoint: Checkpoint, flags: Flags, run: McqRun | None) -> str:
    """Check that the checkpoint can be resumed, and return what to resume."""
    _check_kind(checkpoint, flags)
    if run is not None:
        check_checkpoint(checkpoint.folder, run)
    total = f" (of {checkpoint.max_steps} planned)" if checkpoint.max_steps else ""
    line = (
        f"resuming from {checkpoint.folder}: step {checkpoint.step}{total}, epoch {checkpoint.epoch:.2f}; "
        f"restored: {', '.join(checkpoint.restored)}"
    )
    if checkpoint.not_restored:
        line += f"; NOT restored, because not saved: {', '.join(checkpoint.not_restored)}"
    return line
