"""Keeps a training's run: manifests, rotation of checkpoints, finite weights, and a clean stop at SIGTERM."""

from __future__ import annotations

import json
import os
import sys
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from llmtuner.data.collect import answer_places
from llmtuner.data.question import Question
from llmtuner.data.trained import TrainedQuestions
from llmtuner.errors import RunError, UserError
from llmtuner.runs.adapter import is_adapter
from llmtuner.runs.checkpoints import (
    CHECKPOINT,
    EarlierRun,
    checkpoint_at,
    find_checkpoints,
    remove_checkpoint,
    set_all_aside,
    superseded,
)
from llmtuner.runs.converted import complete_converted
from llmtuner.runs.manifest import (
    CHECKPOINT_MANIFEST,
    RUN_MANIFEST,
    Manifest,
    defect_of,
    digest_files,
    read_manifest,
    write_manifest,
)
from llmtuner.runs.processes import any_process, barrier, mean_of_processes
from llmtuner.runs.random_state import RandomState
from llmtuner.runs.stop import StopRequest, Terminated
from llmtuner.runs.trained import TRAINED, write_trained
from llmtuner.runs.weights import files_of_model
from llmtuner.spec.resume import EARLY_STOPPING

_PATIENCE = "early_stopping_patience_counter"  # of transformers' callback


class RunKeeper(TrainerCallback):
    """The callback of one training; it comes after the callbacks that decide when to save.

    Args:
        planned: the manifest of the training, without steps and files.
        output_dir: where the run's files are.
        stop: whether the process was told to stop.
        earlier: the checkpoint that the training resumes from, and what it sets aside.
        trained: the questions that its model was trained on before; and its own, if its trainer does not have them.
    """

    def __init__(
        self,
        planned: Manifest,
        output_dir: Path,
        stop: StopRequest | None = None,
        earlier: EarlierRun | None = None,
        trained: TrainedQuestions | None = None,
    ) -> None:
        self._planned, self._output_dir = planned, output_dir
        self._earlier, self._before = earlier or EarlierRun(), trained or TrainedQuestions()
        self._resumed = self._earlier.checkpoint
        self._stop = stop or StopRequest()
        self._trainer: Any = lambda: None
        self._limit: int | None = None
        self._state: Any = None
        self._ended_at: int | None = None  # the step at which the resumed training had ended
        self._saved: tuple[int, Path] = (0, output_dir)  # the last checkpoint with the training's state
        self._before_step: tuple[RandomState, Any, int] | None = None
        self._discarding = False
        self._told = False  # to stop, after the last step and without a checkpoint of it
        self._final = False  # the training has ended, and run.json is not written yet
        self._for_best = False  # whether the next checkpoint is saved only because its evaluation was the best so far
        self._learns = False  # whether any step had a learning rate above 0
        self.first_step = 0

    def attach(self, trainer: Any) -> None:
        """Keep the run of this trainer; a weak reference, so that the trainer can be freed before exit."""
        self._trainer = weakref.ref(trainer)

    @property
    def resumed(self) -> Path | None:
        """The checkpoint that the training resumes from."""
        return self._resumed

    @property
    def training_has_ended(self) -> bool:
        """Whether no step is left: all are done, or the resumed training had stopped early."""
        step = self._state.global_step
        return step >= self._state.max_steps or step == self._ended_at

    # ---- the training

    def on_train_begin(self, args: Any, state: Any, control: Any, lr_scheduler: Any = None, **kwargs: Any) -> None:
        """Set the earlier run aside, and take over what the resumed checkpoint knows beside the Trainer's state."""
        if self._resumed is not None and state.max_steps < state.global_step:
            raise UserError(
                f"{self._resumed} is at step {state.global_step}, and this training would have {state.max_steps} "
                "steps: it would train nothing. Pass a larger --num_train_epochs or --max_steps"
            )
        if self._state is None:  # with --auto_find_batch_size, a training whose step did not fit begins again
            if args.process_index == 0:  # not before: a run that fails until here leaves the folder as it was
                set_all_aside(self._earlier.replaced)
            self._limit, args.save_total_limit = args.save_total_limit, None
        self._state, self._saved = state, (0, self._output_dir)
        self._stop.deferred = True
        if self._resumed is None:
            return
        state.compute_steps(args, state.max_steps)  # the Trainer goes on with the intervals of the checkpoint
        self._keep_start()
        self.first_step = state.global_step
        self._saved = (state.global_step, self._resumed)
        best = checkpoint_at(self._resumed.resolve()).best
        if best is not None:  # the folder may have moved, or have another name
            state.best_model_checkpoint = str(best.folder)
        manifest = read_manifest(self._resumed / CHECKPOINT_MANIFEST)
        if manifest is None:
            return
        self._restore_patience(state)
        stored = state.stateful_callbacks.get("TrainerControl", {})
        if stored.get("args", {}).get("should_training_stop") and not self._goes_further(manifest, state):
            self._ended_at = state.global_step
        if manifest.world_size != args.world_size and args.process_index == 0:
            order = "the order of the batches changes"
            print(
                f"note: resumed with {args.world_size} processes, before {manifest.world_size}; {order}",
                file=sys.stderr,
            )
        if manifest.max_steps != state.max_steps:
            _renew_rates(lr_scheduler)
        self._restore_loss(manifest)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remember what the batches of an accumulated step will change, in case the step is never completed."""
        if args.gradient_accumulation_steps > 1 and args.world_size == 1:
            loss = getattr(self._trainer(), "_tr_loss", None)
            loss_before = None if loss is None else loss.detach().clone()
            self._before_step = (RandomState.now(), loss_before, state.num_input_tokens_seen)

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Told to stop: the batch in progress has ended, and the step is given up."""
        if self._stop.requested and self._before_step is not None:
            self._discarding = control.should_training_stop = True

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        """Notice whether any step has a learning rate above 0."""
        groups = getattr(optimizer, "param_groups", None)
        self._learns = self._learns or not groups or any(float(group["lr"]) > 0 for group in groups)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Told to stop: save. Also checks the weights before every save."""
        self._save_if_told(args, control)
        self._check_finite(model, control)

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """As after a step: nothing but this evaluation may be left of the training."""
        if not self._stop.deferred or state.global_step == 0:  # after or before the training
            return
        is_checked = control.should_save
        self._save_if_told(args, control)
        if not is_checked:
            self._check_finite(model, control)

    def save_best(self, control: Any, model: Any) -> None:
        """Save this step, whose evaluation is the best so far, also between the intervals of --save_steps.

        Raises:
            RunError: a weight is not finite.
        """
        if control.should_save:
            return
        self._for_best = control.should_save = True
        self._check_finite(model, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """As after a step; a step that was given up leaves no trace."""
        if self._discarding:
            control.should_training_stop = control.should_evaluate = control.should_log = False
            self._forget_step(state)
            if state.global_step == 0:
                raise Terminated
            self._raise_if_saved(state)
            self._save_if_told(args, control)
        self._check_finite(model, control)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the checkpoint's manifest, delete checkpoints beyond the limit, and stop if told to.

        Raises:
            Terminated: the process was told to stop.
        """
        folder = self._output_dir / f"checkpoint-{state.global_step}"
        loss = self._loss(args)
        barrier(args)
        if args.process_index == 0:
            names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
            names = [name for name in names if name not in (CHECKPOINT_MANIFEST, TRAINED)]
            self._write(folder, CHECKPOINT_MANIFEST, names, loss, for_best=self._for_best)
            self._rotate(folder, state, self._saved[1] if args.save_only_model else folder)
        barrier(args)
        self._for_best = False
        if not args.save_only_model:
            self._saved = (state.global_step, folder)
        if any_process(self._stop.requested, args):
            self._raise_if_saved(state)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Check the weights once more before they are saved for good.

        Raises:
            RunError: a weight is not finite.
            Terminated: the process was told to stop after the last step.
            UserError: the learning rate was 0 in every step.
        """
        self._stop.deferred = False
        self._told = any_process(self._stop.requested, args)
        if self._told:
            self._raise_if_saved(state)
        if not self._learns and state.global_step > self.first_step:
            raise UserError(
                "the learning rate was 0 in every step, so nothing was trained, and nothing is saved: raise "
                "`learning_rate`, or lower --warmup_steps below the number of steps"
            )
        control.should_save = True
        self._check_finite(model, control)
        control.should_save = False
        if args.load_best_model_at_end and args.process_index == 0:
            _say_unsaved_best(state)
        self._final = True

    def require_best(self) -> None:
        """Check the checkpoint that --load_best_model_at_end is about to load.

        Raises:
            RunError: it is gone or damaged.
        """
        args = self._trainer().args
        best = Path(self._state.best_model_checkpoint or "")
        damage = checkpoint_at(best).damage if args.process_index == 0 else ""
        if damage:
            raise RunError(
                f"--load_best_model_at_end: the best checkpoint, {best}, was lost during the run: {damage}. Nothing is "
                "saved beyond the checkpoints; copy it back, or pass --load_best_model_at_end false, and repeat the "
                "command to end with the last one"
            )

    def finish(self) -> None:
        """Write run.json after the final save; later calls change nothing.

        Raises:
            Terminated: the process was told to stop before.
        """
        if not self._final:
            return
        self._final = False
        trainer = self._trainer()
        if trainer is not None:
            barrier(trainer.args)
        if trainer is None or trainer.args.process_index == 0:
            for folder in filter(None, (complete_converted(self._output_dir), self._output_dir)):
                self._write(folder, RUN_MANIFEST, files_of_model(folder), {})
        if self._told:
            raise Terminated

    # ---- parts

    def _save_if_told(self, args: Any, control: Any) -> None:
        """Told to stop: save a checkpoint that can be resumed from, also with --save_only_model."""
        if any_process(self._stop.requested, args):
            control.should_save, args.save_only_model = True, False

    def _raise_if_saved(self, state: Any) -> None:
        """Stop, if there is a checkpoint of this step to resume from.

        Raises:
            Terminated: it is.
        """
        step, folder = self._saved
        if step and step == state.global_step:
            raise Terminated(str(folder))

    def _keep_start(self) -> None:
        """Keep the initial adapter that --pissa_convert compares the trained one with.

        Upstream's callback would save that of the checkpoint in its place, and convert only what was trained since.

        Raises:
            UserError: the initial adapter is gone.
        """
        for callback in getattr(getattr(self._trainer(), "callback_handler", None), "callbacks", ()):
            if type(callback).__name__ == "PissaConvertCallback":
                start = self._output_dir / "pissa_init"
                if not is_adapter(start):
                    raise UserError(f"--pissa_convert: {start}, which the end needs, is not there; restore it")
                callback.on_train_begin = lambda *args, **kwargs: None

    def _write(
        self, folder: Path, name: str, files: Iterable[str], loss: dict[str, float], *, for_best: bool = False
    ) -> None:
        files = [*files, write_trained(self._trained, folder).name]
        for file in files:
            _sync(folder / file)
        state, args = self._state, getattr(self._trainer(), "args", None)
        manifest = replace(
            self._planned,
            step=state.global_step,
            max_steps=state.max_steps,
            epoch=float(state.epoch or 0.0),
            world_size=1 if args is None else args.world_size,
            files=digest_files(folder, files),
            answer_places=self._places(),
            prompt=_prompt_of(folder) or self._planned.prompt,
            loss=loss,
            for_best=for_best,
        )
        write_manifest(manifest, folder / name)

    def _places(self) -> Mapping[str, int]:
        """Counted in the questions that are trained on, where the trainer has them (stage mcq).

        The plan does not know which questions --mcq_drop_long leaves out, nor which ones the registry's `num_samples`
        draws.
        """
        questions = self._questions()
        return self._planned.answer_places if questions is None else answer_places(questions)

    @cached_property
    def _trained(self) -> TrainedQuestions:
        return self._before | TrainedQuestions.of(self._questions() or ())

    def _questions(self) -> Sequence[Question] | None:
        """Those that are trained on; None where the trainer does not have them (stage sft)."""
        return getattr(getattr(self._trainer(), "train_dataset", None), "questions", None)

    def _rotate(self, newest: Path, state: Any, resumable: Path) -> None:
        """Delete what is beyond --save_total_limit, and best ones that are so no longer, only behind a sound one.

        Never the last one that can be resumed from: with --save_only_model, only the one that a stop saved can be.
        """
        limit = self._limit if self._limit is not None and self._limit > 0 else None
        checkpoints = [each for each in find_checkpoints(self._output_dir) if each.step <= state.global_step]
        surplus = superseded(checkpoints, limit, {newest.resolve(), resumable.resolve()})
        manifest = read_manifest(newest / CHECKPOINT_MANIFEST) if surplus else None
        if manifest is None or defect_of(newest, manifest):
            return
        for checkpoint in surplus:
            remove_checkpoint(checkpoint.folder)

    def _check_finite(self, model: Any, control: Any) -> None:
        if not control.should_save or model is None:
            return
        for name, parameter in model.named_parameters():
            values = parameter.to_local() if hasattr(parameter, "to_local") else parameter
            if parameter.requires_grad and not torch.isfinite(values.detach()).all():
                raise RunError(
                    f"the weights became NaN or Inf by step {self._state.global_step} (first in {name}); they are not "
                    "saved. Lower `learning_rate`, or train in bf16 or fp32"
                )

    def _loss(self, args: Any) -> dict[str, float]:
        """What the Trainer has summed up since the last line of its log; it does not store it."""
        trainer = self._trainer()
        if not hasattr(trainer, "_tr_loss"):
            return {}
        return {
            "since_log": mean_of_processes(trainer._tr_loss, args),
            "total": float(trainer._total_loss_scalar),
            "last_logged": int(trainer._globalstep_last_logged),
        }

    def _goes_further(self, manifest: Manifest, state: Any) -> bool:
        """Whether more steps are planned than when the checkpoint was saved, or the training stops early later."""
        before, now = (each.settings.get(EARLY_STOPPING) for each in (manifest, self._planned))
        return bool(manifest.max_steps != state.max_steps or before != now)

    def _restore_patience(self, state: Any) -> None:
        """How often in a row the metric did not improve: the Trainer stores it, and begins at 0 again."""
        for callback in getattr(getattr(self._trainer(), "callback_handler", None), "callbacks", ()):
            if not hasattr(callback, _PATIENCE):
                continue
            # Transformers stores only the states of callbacks that the checkpoint has: a new one begins here.
            stored = state.stateful_callbacks.setdefault(type(callback).__name__, callback.state())
            if isinstance(stored, dict):
                setattr(callback, _PATIENCE, int(stored.get("attributes", {}).get(_PATIENCE, 0)))

    def _restore_loss(self, manifest: Manifest) -> None:
        trainer = self._trainer()
        if manifest.loss and hasattr(trainer, "_tr_loss"):
            trainer._tr_loss += manifest.loss["since_log"]
            trainer._total_loss_scalar = manifest.loss["total"]
            trainer._globalstep_last_logged = int(manifest.loss["last_logged"])

    def _forget_step(self, state: Any) -> None:
        """Undo what the batches of an unfinished step changed: random numbers, the loss, the count of tokens."""
        assert self._before_step is not None, "a step is discarded only if it was remembered"
        random_state, loss, state.num_input_tokens_seen = self._before_step
        random_state.restore()
        trainer = self._trainer()
        if loss is not None and trainer is not None:
            trainer._tr_loss.copy_(loss)


def _say_unsaved_best(state: Any) -> None:
    """Say so if the best evaluation has no checkpoint: earlier versions saved only at the intervals of --save_steps."""
    best, saved = state.best_global_step, CHECKPOINT.fullmatch(Path(state.best_model_checkpoint or "").name)
    if best and (not state.best_model_checkpoint or (saved and int(saved[1]) != best)):
        end = f"those of step {saved[1]}, the best one that was saved" if saved else "the last ones"
        print(
            f"note: the best evaluation was that of step {best}, of which an earlier version saved no checkpoint. The "
            f"training ends with other weights: {end}",
            file=sys.stderr,
        )


def _renew_rates(lr_scheduler: Any) -> None:
    """Learning rates of the new schedule: a checkpoint stores those of the old one, which is 0 at its end.

    A training that was continued with more epochs made its first step with that rate.
    """
    scheduler = getattr(lr_scheduler, "scheduler", lr_scheduler)  # accelerate wraps it
    if not hasattr(scheduler, "lr_lambdas"):
        return
    rates = [
        base * schedule(scheduler.last_epoch)
        for base, schedule in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
    ]
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler._last_lr = rates


def _sync(path: Path) -> None:
    """Force a file to disk before a manifest vouches for it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _prompt_of(folder: Path) -> dict[str, Any]:
    """The prompt's form as stage mcq stores it; {} for other stages."""
    path = folder / "mcq_config.json"
    return json.loads(path.read_text(encoding="utf-8")).get("prompt", {}) if path.is_file() else {}
