"""The Trainer for option scores: batches of questions, a loss over options, evaluation by MAP@3."""

from __future__ import annotations

import gc
import logging
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from accelerate.utils import gather_object
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import Trainer, TrainingArguments

from llmtuner.data.predictions import Prediction
from llmtuner.errors import FieldError
from llmtuner.mcq.attention import finite_gradients
from llmtuner.mcq.batch_order import BatchOrder
from llmtuner.mcq.batches import QuestionBatches, by_length
from llmtuner.mcq.collate import Batch, Collator, Twice
from llmtuner.mcq.device import on_one_device
from llmtuner.mcq.finite import FiniteGuard, StepLoss
from llmtuner.mcq.losses.criterion import Criterion
from llmtuner.mcq.model import HEAD
from llmtuner.mcq.orders import orders_of
from llmtuner.mcq.pace import Pace
from llmtuner.mcq.predict import NOT_READ, UNSCORED, Scoring, figures_of, predict_questions
from llmtuner.mcq.questions import NOT_COUNTED, QuestionSet
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.settings import write_settings
from llmtuner.mcq.targets import check_targets, weights_of, without_weight_0
from llmtuner.mcq.unwrap import unwrap
from llmtuner.runs.stop import WorkerStart
from llmtuner.runs.training import KeptTraining

logger = logging.getLogger("llmtuner.mcq")


class McqTrainer(KeptTraining, Trainer):
    """transformers' Trainer for models with an option head (`llmtuner.mcq.model.attach_head`).

    The loss is the mean over the questions of an optimizer step, however they are split into batches and processes.
    A saved model has its mcq_config.json beside it.

    Args:
        run: what is trained and how; its settings are written with every checkpoint.
        args: transformers' training arguments; they are copied, not changed.
        pad_token_id: the padding.
        train_set, eval_set: questions; `eval_set` may be a dictionary of sets by name.
        build_optimizer: makes a custom optimizer from the model, or None for transformers'.
        more: as in transformers' Trainer.
    """

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        run: McqRun,
        *,
        pad_token_id: int = 0,
        train_set: QuestionSet | None = None,
        eval_set: QuestionSet | dict[str, QuestionSet] | None = None,
        build_optimizer: Callable[[Any], torch.optim.Optimizer | None] | None = None,
        **more: Any,
    ) -> None:
        self.run = run
        self.collator = Collator.of(run.settings, pad_token_id)
        sets = {"train_dataset": train_set, "eval_dataset": eval_set}
        if train_set is not None:
            train_set = without_weight_0(train_set)
            check_targets(train_set.questions, run.objective)
            sets["train_dataset"] = train_set
        self._weighted = train_set is not None and any(question.weight != 1 for question in train_set.questions)
        super().__init__(model, on_one_device(args), data_collator=self.collator, **sets, **more)
        # Both make the Trainer count a step's questions over all batches and processes before its first batch.
        self.model_accepts_loss_kwargs = True
        self.args.average_tokens_across_devices = True
        self._build_optimizer = build_optimizer
        self._criterion = Criterion(run.objective) if run.training or run.evaluating else None
        self._step_losses: list[StepLoss] = []
        self._said: set[str] = set()
        self._pace = Pace(self.args.world_size, run.objective.copies)
        self._batches = None if train_set is None else self._train_batches(train_set)
        self.add_callback(FiniteGuard(self._take_losses))
        if self._batches is not None and train_set is not None:
            self.add_callback(BatchOrder(self._batches, shuffles=train_set.shuffles))
        self.optimizer: Any  # untyped in transformers
        self.model_wrapped: Any
        self.control: Any

    # ---- batches

    @property
    def batches(self) -> QuestionBatches | None:
        """The batches of the training, of this process; None without a training set."""
        return self._batches

    def _train_batches(self, questions: QuestionSet) -> QuestionBatches:
        budget = self.run.tokens_per_batch
        return QuestionBatches(
            questions.shapes(self.collator.layout),
            batch_size=self.args.per_device_train_batch_size,
            tokens_per_batch=budget and max(1, budget // self.run.objective.copies),
            accumulation=self.args.gradient_accumulation_steps,
            rank=self.args.process_index,
            world=self.args.world_size,
            seed=self.args.data_seed if self.args.data_seed is not None else self.args.seed,
        )

    def get_train_dataloader(self) -> DataLoader:
        """Batches of questions for this process; accelerate does not split them again."""
        workers = self.args.dataloader_num_workers
        return DataLoader(
            self.train_dataset,
            batch_sampler=self._batches,
            collate_fn=Twice(self.collator) if self.run.objective.copies == 2 else self.collator,
            num_workers=workers,
            pin_memory=self.args.dataloader_pin_memory and torch.cuda.is_available(),
            persistent_workers=self.args.dataloader_persistent_workers and workers > 0,
            worker_init_fn=WorkerStart(),
            generator=torch.Generator(),  # otherwise each iterator draws from the random state that dropout uses, too
        )

    def get_batch_samples(self, epoch_iterator: Iterator[Batch], *args: Any, **kwargs: Any) -> tuple[list[Batch], Any]:
        """The batches of an optimizer step, counted for the pace."""
        batches, count = super().get_batch_samples(epoch_iterator, *args, **kwargs)
        self._pace.add(batches, count, self.state.global_step)
        if self._weighted and count is not None:  # the mean is over weights
            total = torch.stack([weights_of(batch).sum() for batch in batches]).sum().to(count.device)
            count = self.accelerator.gather(total).sum() if self.args.world_size > 1 else total
        return batches, count

    # ---- loss

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The sum of the batch's losses over the number of questions in the optimizer step, each by its weight.

        Whether it is finite is checked once a step, before the update (`llmtuner.mcq.finite.FiniteGuard`).
        """
        assert self._criterion is not None, "a run that trains has one"
        labels_Q = inputs["labels"]
        output = model(**{name: value for name, value in inputs.items() if name not in NOT_READ})
        counts_Q = labels_Q != NOT_COUNTED
        progress = self.state.global_step / max(self.state.max_steps, 1)
        answers_Q = labels_Q.clamp(min=0)
        losses_Q = self._criterion(output.scores, answers_Q, output.mask, progress, inputs.get("targets"))
        if "weights" in inputs:
            losses_Q = losses_Q * inputs["weights"].to(losses_Q)
        total = losses_Q.where(counts_Q, 0.0).sum()
        self._step_losses.append((total.detach(), partial(self._not_finite, inputs["rows"])))
        count = num_items_in_batch if num_items_in_batch is not None else _divisor(inputs)
        loss = total / count * (self.args.world_size if num_items_in_batch is not None else 1)
        return (loss, output) if return_outputs else loss

    def _take_losses(self) -> list[StepLoss]:
        losses, self._step_losses = self._step_losses, []
        return losses

    def _not_finite(self, rows: torch.Tensor) -> str:
        questions = [self.train_dataset.questions[row] for row in rows.tolist()]
        listed = ", ".join(f"{question.where} (id {question.shown_id})" for question in questions[:8])
        more = f" and {len(questions) - 8} more" if len(questions) > 8 else ""
        return (
            f"the loss became NaN or Inf at step {self.state.global_step + 1}, in the batch of {listed}{more}; nothing "
            "was saved after the last checkpoint. Lower `learning_rate`, or train in bf16 or fp32"
        )

    # ---- optimizer

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """transformers' optimizer with the head's parameters in separate groups, or the caller's optimizer."""
        if self.optimizer is None and self._build_optimizer is not None:
            self.optimizer = self._build_optimizer(self.model if model is None else model)
            if self.optimizer is not None and self.run.head_learning_rate is not None:
                rate = self.run.head_learning_rate
                raise FieldError(
                    "head_learning_rate", rate, "it works with transformers' optimizers only; leave it out"
                )
        made_here = self.optimizer is None
        optimizer = super().create_optimizer(*(() if model is None else (model,)))
        if made_here:  # always, so that a run can resume without the flag
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
            rate = self.run.head_learning_rate
            rate = self.args.learning_rate if rate is None else rate
            optimizer.add_param_group({**rest, "params": head, "lr": rate})
        optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]

    # ---- evaluation

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Every metric and the loss of the evaluation questions, with run times; they are logged."""
        questions = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(questions, dict):
            of_all: dict[str, float] = {}
            for name, part in questions.items():
                of_all |= self.evaluate(part, ignore_keys, f"{metric_key_prefix}_{name}")
            return of_all
        predictions, metrics = self.predict_options(questions, metric_key_prefix)
        values = figures_of(predictions)
        if values:
            loss = self._loss_of(predictions)
            values |= {"loss": loss} if math.isfinite(loss) else {}
        metrics |= {f"{metric_key_prefix}_{name}": value for name, value in values.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _loss_of(self, predictions: list[Prediction]) -> float:
        """The mean loss of the questions whose right option can be scored; NaN if there is none."""
        known = [(p.scores, p.answer) for p in predictions if p.answer is not None and p.scores[p.answer] != UNSCORED]
        if not known:
            return math.nan
        most = max(len(scores) for scores, _ in known)
        padded_QN = torch.tensor([[*scores, *[UNSCORED] * (most - len(scores))] for scores, _ in known])
        mask_QN = padded_QN != UNSCORED
        answers_Q = torch.tensor([answer for _, answer in known])
        assert self._criterion is not None, "a run that evaluates has one"
        return float(self._criterion.evaluate(padded_QN.where(mask_QN, 0.0), answers_Q, mask_QN).mean())

    def predict_options(
        self, questions: QuestionSet, prefix: str, *, orders: int = 1
    ) -> tuple[list[Prediction], dict[str, float]]:
        """Predictions in the order of the questions, and run times: runtime, samples_per_second, steps_per_second.

        Args:
            orders: cyclic orders of the options that joint prompts are scored in, at most.
        """
        batch_size = self.args.per_device_eval_batch_size
        start = time.perf_counter()
        model = self.model_wrapped if self.is_deepspeed_enabled or self.is_fsdp_enabled else self.model
        hidden = self.args.disable_tqdm or not self.is_world_process_zero()
        counts = orders_of(questions.questions, orders)
        total, unit = sum(counts), " questions" if orders == 1 else " prompts"
        bar = tqdm(total=total, desc=prefix, unit=unit, leave=False, disable=hidden)
        scoring = Scoring(
            self.collator,
            batch_size=batch_size,
            tokens_per_batch=self.run.tokens_per_batch,
            rank=self.args.process_index,
            world=self.args.world_size,
            gather=gather_object if self.args.world_size > 1 else list,
            precision=self.accelerator.autocast,
            reuse_shots=not (self.is_fsdp_enabled or self.is_deepspeed_enabled),
            notice=self._say_once,
            progress=lambda done: bar.update(min(done * self.args.world_size, total - bar.n)),
            orders=orders,
        )
        with bar, finite_gradients(unwrap(self.model)):
            predictions = predict_questions(model, questions, scoring)
        seconds = time.perf_counter() - start
        shapes = questions.shapes(self.collator.layout)
        shapes = [shape for shape, count in zip(shapes, counts, strict=True) for _ in range(count)]
        batches = by_length(shapes, batch_size=batch_size, tokens_per_batch=self.run.tokens_per_batch)
        steps = -(-len(batches) // self.args.world_size)
        return predictions, {
            f"{prefix}_runtime": round(seconds, 4),
            f"{prefix}_samples_per_second": round(len(questions) / seconds, 3),
            f"{prefix}_steps_per_second": round(steps / seconds, 3),
        }

    # ---- logs and files

    def _say_once(self, line: str) -> None:
        if line not in self._said and self.is_world_process_zero():
            logger.info(line)
        self._said.add(line)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add questions and tokens per second and the time left to the training logs."""
        if "loss" in logs:
            logs |= self._pace.figures(self.state.global_step, self.state.max_steps)
        super().log(logs, *args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        write_settings(self.run.settings, output_dir or self.args.output_dir)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; `train_samples_per_second` counts the questions that were trained on."""
        self._pace = Pace(self.args.world_size, self.run.objective.copies)
        with finite_gradients(unwrap(self.model)):
            result = super().train(*args, **kwargs)
        runtime = result.metrics.get("train_runtime", 0.0)
        if runtime:
            result.metrics["train_samples_per_second"] = round(self._pace.questions / runtime, 3)
        self._drop_ddp()
        return result

    def _drop_ddp(self) -> None:
        """Free DDP's wrapper and its gradient buckets; later code uses the model itself.

        If the wrapper outlived the process group, it would hold the group's last reference and free it while holding
        the GIL, which gloo's own thread may be waiting for: the process then hangs at exit.
        """
        if isinstance(self.model_wrapped, DistributedDataParallel):
            self.model_wrapped = self.model
            self.accelerator._models.clear()
            gc.collect()


def _divisor(batch: Batch) -> torch.Tensor:
    """What the losses of a batch on its own are divided by: its questions, each by its weight."""
    total = weights_of(batch).sum()
    return total if total > 0 else torch.ones_like(total)
