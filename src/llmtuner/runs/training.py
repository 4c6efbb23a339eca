"""A Trainer whose run is kept: manifests, exact continuation, and the end of a run that was killed after its last step.

The mixin overrides methods of transformers' Trainer by name; where a version has no such method, it has no effect.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from llmtuner.runs.keeper import RunKeeper
from llmtuner.runs.position import Position
from llmtuner.runs.stop import WorkerStart
from llmtuner.runs.weight_names import names_in_memory, require_all_loaded


class KeptTraining:
    """Placed before a Trainer class; without a `RunKeeper` among the callbacks it changes nothing."""

    keeper: RunKeeper | None = None
    _position: Position | None = None  # of the checkpoint, where the training counts steps of its data

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        callbacks = self.callback_handler.callbacks  # type: ignore[attr-defined]
        self.keeper = next((callback for callback in callbacks if isinstance(callback, RunKeeper)), None)
        if self.keeper is not None:
            self.keeper.attach(self)

    def set_initial_training_values(self, args: Any, dataloader: Any, *more: Any, **named: Any) -> Any:
        """How many epochs and steps there are. Steps that had another size before count as the epochs they were."""
        from transformers.trainer_utils import has_length

        values = super().set_initial_training_values(args, dataloader, *more, **named)  # type: ignore[misc]
        # With ignore_data_skip a resumed epoch begins again: it says nothing about steps.
        if self.keeper is not None and has_length(dataloader) and not args.ignore_data_skip:
            self._position = Position.of(self.keeper.resumed)
        return values if self._position is None else self._position.resized(values, by_steps=args.max_steps > 0)

    def _init_training_state(self, max_steps: int, per_epoch: int, *more: Any, **named: Any) -> tuple[int, int]:
        """The epochs that are done, and the batches of the one that is begun."""
        done: tuple[int, int] = super()._init_training_state(max_steps, per_epoch, *more, **named)  # type: ignore[misc]
        if self._position is None or not self._position.surplus(per_epoch):
            return done
        epochs, steps = divmod(self._position.steps_done(per_epoch), per_epoch)
        args = self.args  # type: ignore[attr-defined]
        if args.process_index == 0:
            step, epoch = self._position.step, self._position.epoch
            left = f"{max_steps - step:,} more are planned"
            print(f"note: steps have another size now: {step:,} were {epoch:.2f} epochs, and {left}", file=sys.stderr)
        return epochs, steps * args.gradient_accumulation_steps

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """No step beyond the end: the Trainer makes one more when it resumes from the last step of a training."""
        if self.keeper is not None and self.keeper.training_has_ended:
            self.control.should_training_stop = True  # type: ignore[attr-defined]
            return
        super()._run_epoch(*args, **kwargs)  # type: ignore[misc]

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; speeds count what this process did, also if it resumed."""
        result = super().train(*args, **kwargs)  # type: ignore[misc]
        first = 0 if self.keeper is None else self.keeper.first_step
        if first:
            share = (result.global_step - first) / max(result.global_step, 1)
            for name in ("train_samples_per_second", "train_steps_per_second"):
                if name in result.metrics:
                    result.metrics[name] = round(result.metrics[name] * share, 3)
            result.metrics["train_resumed_from_step"] = first
        return result

    def _determine_best_metric(self, *args: Any, **kwargs: Any) -> bool:
        """Whether an evaluation is the best so far. The end needs its weights: the Trainer saves at intervals only."""
        is_best: bool = super()._determine_best_metric(*args, **kwargs)  # type: ignore[misc]
        if is_best and self.keeper is not None and self.args.load_best_model_at_end:  # type: ignore[attr-defined]
            self.keeper.save_best(self.control, self.model)  # type: ignore[attr-defined]
        return is_best

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save one that `_load_from_checkpoint` and `_load_best_model` can load whole."""
        with names_in_memory(self.model):  # type: ignore[attr-defined]
            super()._save_checkpoint(*args, **kwargs)  # type: ignore[misc]

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """A checkpoint that lacks weights was loaded with a warning, and "restored: weights" was printed.

        Raises:
            RunError: it lacks weights, or has other ones.
        """
        require_all_loaded(self.model, load_result)  # type: ignore[attr-defined]
        super()._issue_warnings_after_load(load_result)  # type: ignore[misc]

    def _load_optimizer_and_scheduler(self, *args: Any, **kwargs: Any) -> None:
        """Of a resumed training, on CPUs with several processes, too."""
        _restore_numbered_cpus()
        super()._load_optimizer_and_scheduler(*args, **kwargs)  # type: ignore[misc]

    def get_train_dataloader(self, *args: Any, **kwargs: Any) -> Any:
        """Its workers leave the answer to SIGTERM to this process, as those of the other sets."""
        return _with_worker_start(super().get_train_dataloader(*args, **kwargs))  # type: ignore[misc]

    def get_eval_dataloader(self, *args: Any, **kwargs: Any) -> Any:
        """As for training."""
        return _with_worker_start(super().get_eval_dataloader(*args, **kwargs))  # type: ignore[misc]

    def _load_best_model(self, *args: Any, **kwargs: Any) -> None:
        """The best checkpoint must be as it was saved: the Trainer goes on with the last weights if it is gone.

        Raises:
            RunError: it is gone or damaged.
        """
        if self.keeper is not None:
            self.keeper.require_best()
        super()._load_best_model(*args, **kwargs)  # type: ignore[misc]

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate; after the training, its files are complete by now."""
        self.finish_training()
        return super().evaluate(*args, **kwargs)  # type: ignore[misc]

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Predict; after the training, its files are complete by now."""
        self.finish_training()
        return super().predict(*args, **kwargs)  # type: ignore[misc]

    def finish_training(self) -> None:
        """Write run.json if a training has ended and its final files are saved."""
        if self.keeper is not None and not self.is_in_train:  # type: ignore[attr-defined]
            self.keeper.finish()


@cache
def _restore_numbered_cpus() -> None:
    """Accelerate calls the CPU of the first of several processes `cpu:0`, which `torch.load` alone does not know."""
    import torch

    def restored(storage: Any, location: str) -> Any:
        return storage if location.startswith("cpu:") else None

    torch.serialization.register_package(100, lambda _: None, restored)  # asked after torch's own


def _with_worker_start(loader: Any) -> Any:
    inner = getattr(loader, "base_dataloader", loader)  # accelerate wraps it, and reads the inner one
    if getattr(inner, "num_workers", 0) and not isinstance(inner.worker_init_fn, WorkerStart):
        inner.worker_init_fn = WorkerStart(inner.worker_init_fn)
    return loader
