"""The Trainer of option scores: batches of questions, a loss over options, evaluation by MAP@3."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import torch
from accelerate.utils import gather_object
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import Trainer

from llmtuner.data.predictions import Prediction
from llmtuner.errors import RunError, UserError
from llmtuner.mcq.batches import QuestionBatches, by_length
from llmtuner.mcq.collate import Batch, Collator, Twice
from llmtuner.mcq.deal import Dealer
from llmtuner.mcq.layout import PADDING
from llmtuner.mcq.model import HEAD
from llmtuner.mcq.objective import Objective
from llmtuner.mcq.predict import Scoring, as_predictions, figures, score_questions
from llmtuner.mcq.questions import NOT_COUNTED, QuestionSet
from llmtuner.mcq.settings import McqSettings, write_settings

NOT_READ = ("labels", "rows")  # of a batch, by the model


class McqTrainer(Trainer):
    """transformers' Trainer for models with an option head (`llmtuner.mcq.model.attach_head`).

    The loss is the mean over the questions of an optimizer step, however they are split into batches and processes.
    A saved model has its mcq_config.json beside it.

    Args:
        settings: written with every checkpoint.
        collator: of the settings' layout.
        train_set, eval_set: questions; `eval_set` may be a dictionary of them by name.
        tokens_per_batch: padded tokens a batch, in place of the batch size.
        head_learning_rate: of the head; the common one where it is None.
        objective: what is minimised; the settings' loss alone where it is None.
        build_optimizer: makes an optimizer of its own from the model, or None for transformers'.
    """

    def __init__(
        self,
        *args: Any,
        settings: McqSettings,
        collator: Collator,
        train_set: QuestionSet | None = None,
        eval_set: QuestionSet | dict[str, QuestionSet] | None = None,
        tokens_per_batch: int | None = None,
        head_learning_rate: float | None = None,
        objective: Objective | None = None,
        build_optimizer: Callable[[Any], torch.optim.Optimizer | None] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, train_dataset=train_set, eval_dataset=eval_set, data_collator=collator, **kwargs)
        self.settings, self.collator = settings, collator
        self._tokens_per_batch, self._head_learning_rate = tokens_per_batch, head_learning_rate
        self._objective = objective or Objective(settings.loss, self.args.label_smoothing_factor)
        self._build_optimizer = build_optimizer
        # Both make the Trainer count an optimizer step's questions over batches and processes before the first one.
        self.model_accepts_loss_kwargs = True
        self.args.average_tokens_across_devices = True
        self.optimizer: Any  # transformers leaves these without a type
        self.model_wrapped: Any
        self.control: Any
        self._pace = _Pace()

    # ---- batches

    def get_train_dataloader(self) -> DataLoader:
        """Batches of questions for this process; accelerate does not split them again."""
        questions = self.train_dataset
        batches = QuestionBatches(
            questions.shapes(self.collator.layout),
            batch_size=self.args.per_device_train_batch_size,
            tokens_per_batch=self._tokens_per_batch and max(1, self._tokens_per_batch // self._objective.copies),
            accumulation=self.args.gradient_accumulation_steps,
            rank=self.args.process_index,
            world=self.args.world_size,
            seed=self.args.data_seed if self.args.data_seed is not None else self.args.seed,
        )
        self.add_callback(Dealer(batches))
        workers = self.args.dataloader_num_workers
        return DataLoader(
            questions,
            batch_sampler=batches,
            collate_fn=Twice(self.collator) if self._objective.copies == 2 else self.collator,
            num_workers=workers,
            pin_memory=self.args.dataloader_pin_memory and torch.cuda.is_available(),
            persistent_workers=self.args.dataloader_persistent_workers and workers > 0,
            generator=torch.Generator(),  # otherwise each iterator draws from the random state that dropout uses
        )

    def get_batch_samples(self, epoch_iterator: Iterator[Batch], *args: Any, **kwargs: Any) -> tuple[list[Batch], Any]:
        """The batches of an optimizer step, counted for the pace."""
        batches, count = super().get_batch_samples(epoch_iterator, *args, **kwargs)
        self._pace.add(batches, count, self.args.world_size, self.state.global_step, self._objective.copies)
        return batches, count

    # ---- loss

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The sum of the batch's losses over the number of questions in the optimizer step.

        Raises:
            RunError: it is not finite.
        """
        labels_Q = inputs["labels"]
        output = model(**{name: value for name, value in inputs.items() if name not in NOT_READ})
        counts_Q = labels_Q != NOT_COUNTED
        progress = self.state.global_step / max(self.state.max_steps, 1)
        losses_Q = self._objective(output.scores, labels_Q.clamp(min=0), output.mask, progress)
        total = losses_Q.where(counts_Q, 0.0).sum()
        if not torch.isfinite(total):
            raise RunError(self._not_finite(inputs))
        count = num_items_in_batch if num_items_in_batch is not None else counts_Q.sum().clamp(min=1)
        loss = total / count * (self.args.world_size if num_items_in_batch is not None else 1)
        return (loss, output) if return_outputs else loss

    def _not_finite(self, inputs: Batch) -> str:
        questions = [self.train_dataset.questions[row] for row in inputs["rows"].tolist()]
        listed = ", ".join(f"{question.where} (id {question.id})" for question in questions[:8])
        more = f" and {len(questions) - 8} more" if len(questions) > 8 else ""
        return (
            f"the loss is not finite at step {self.state.global_step + 1}, in the batch of {listed}{more}; nothing was "
            "saved after the last checkpoint. Lower --learning_rate, or train in bf16 or fp32"
        )

    # ---- optimizer

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """transformers' optimizer with the head's parameters in groups of their own, or the caller's."""
        if self.optimizer is None and self._build_optimizer is not None:
            self.optimizer = self._build_optimizer(self.model if model is None else model)
            if self.optimizer is not None and self._head_learning_rate is not None:
                raise UserError("--head_learning_rate goes with the common optimizers only; leave one of the two out")
        made_here = self.optimizer is None
        optimizer = super().create_optimizer(*(() if model is None else (model,)))
        if made_here:  # always, so that a run can go on with the flag left out
            self._split_off_head(self.model if model is None else model, optimizer)
        return optimizer

    def _split_off_head(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        of_head = {id(p) for name, p in model.named_parameters() if f"{HEAD}." in name}
        for group in list(optimizer.param_groups):
            head = [parameter for parameter in group["params"] if id(parameter) in of_head]
            if not head:
                continue
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in of_head]
            rest = {name: value for name, value in group.items() if name != "params"}
            rate = self.args.learning_rate if self._head_learning_rate is None else self._head_learning_rate
            optimizer.add_param_group({**rest, "params": head, "lr": rate})
        optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]

    # ---- evaluation

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """MAP@3, accuracy, MRR, NLL and loss of the evaluation questions, with run times; logged."""
        questions = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(questions, dict):
            found: dict[str, float] = {}
            for name, part in questions.items():
                found |= self.evaluate(part, ignore_keys, f"{metric_key_prefix}_{name}")
            return found
        predictions, metrics = self.predict_options(questions, metric_key_prefix)
        values = figures(predictions)
        if values:
            values["loss"] = self._loss_of(predictions)
        metrics |= {f"{metric_key_prefix}_{name}": value for name, value in values.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _loss_of(self, predictions: list[Prediction]) -> float:
        known = [prediction for prediction in predictions if prediction.answer is not None]
        most = max(len(prediction.scores) for prediction in known)
        padded = [[*prediction.scores, *[0.0] * (most - len(prediction.scores))] for prediction in known]
        mask = [[n < len(prediction.scores) for n in range(most)] for prediction in known]
        answers = torch.tensor([prediction.answer for prediction in known])
        return float(self._objective.evaluate(torch.tensor(padded), answers, torch.tensor(mask)).mean())

    def predict_options(self, questions: QuestionSet, prefix: str) -> tuple[list[Prediction], dict[str, float]]:
        """Predictions in the order of the questions, and run times: runtime, samples_per_second, steps_per_second."""
        batch_size = self.args.per_device_eval_batch_size
        start = time.perf_counter()
        model = self.model_wrapped if self.is_deepspeed_enabled or self.is_fsdp_enabled else self.model
        hidden = self.args.disable_tqdm or not self.is_world_process_zero()
        bar = tqdm(total=len(questions), desc=prefix, unit=" questions", leave=False, disable=hidden)
        scoring = Scoring(
            self.collator,
            batch_size=batch_size,
            tokens_per_batch=self._tokens_per_batch,
            rank=self.args.process_index,
            world=self.args.world_size,
            gather=gather_object if self.args.world_size > 1 else list,
            precision=self.accelerator.autocast,
            progress=lambda done: bar.update(min(done * self.args.world_size, len(questions) - bar.n)),
        )
        with bar:
            scores = score_questions(model, questions, scoring)
        seconds = time.perf_counter() - start
        shapes = questions.shapes(self.collator.layout)
        batches = by_length(shapes, batch_size=batch_size, tokens_per_batch=self._tokens_per_batch)
        steps = -(-len(batches) // self.args.world_size)
        return as_predictions(questions.questions, scores), {
            f"{prefix}_runtime": round(seconds, 4),
            f"{prefix}_samples_per_second": round(len(questions) / seconds, 3),
            f"{prefix}_steps_per_second": round(steps / seconds, 3),
        }

    # ---- logs and files

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add questions and tokens a second and the time left to what is logged in training."""
        if "loss" in logs:
            logs |= self._pace.figures(self.state.global_step, self.state.max_steps)
        super().log(logs, *args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        write_settings(self.settings, output_dir or self.args.output_dir)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; `train_samples_per_second` counts the questions that were trained on."""
        self._pace = _Pace()
        result = super().train(*args, **kwargs)
        runtime = result.metrics.get("train_runtime", 0.0)
        if runtime:
            result.metrics["train_samples_per_second"] = round(self._pace.questions / runtime, 3)
        self._drop_ddp()
        return result

    def _drop_ddp(self) -> None:
        """Free DDP's wrapper and its gradient buckets; what comes now reads the model itself.

        Were it alive when the process group is destroyed, it would hold the group's last reference and free it under
        Python's lock, which gloo's own thread may be waiting for: a process then hangs at its end.
        """
        if isinstance(self.model_wrapped, DistributedDataParallel):
            self.model_wrapped = self.model
            self.accelerator._models.clear()
            gc.collect()


class _Pace:
    """Questions and tokens of all processes since the start."""

    def __init__(self) -> None:
        self.questions = self.tokens = 0
        self._first_step: int | None = None
        self._start = time.perf_counter()

    def add(self, batches: list[Batch], questions: Any, world: int, step: int, copies: int) -> None:
        """Count an optimizer step: all its questions, and this process's tokens, of which others have about as many.

        Args:
            copies: how often each question stands in its batch.
        """
        if self._first_step is None:  # a run that goes on does not begin at 0
            self._first_step, self._start = step, time.perf_counter()
        self.questions += int(questions or 0) // copies
        for batch in batches:
            real_BT = batch["segments"] != PADDING if "segments" in batch else batch["attention_mask"] > 0
            self.tokens += world * int(real_BT.sum())

    def figures(self, step: int, steps: int) -> dict[str, Any]:
        """What a log line says."""
        seconds = time.perf_counter() - self._start
        done = max(step - (self._first_step or 0), 1)
        return {
            "questions_per_second": round(self.questions / seconds, 2),
            "tokens_per_second": round(self.tokens / seconds, 1),
            "time_left": str(timedelta(seconds=round(seconds / done * (steps - step)))),
        }
