"""The dry run of --stage sft: upstream's own workflow, with a trainer that measures where the run would begin.

Upstream: the name `CustomSeq2SeqTrainer` in `llamafactory.train.sft.workflow`, as patches/letter_scores.py leaves it;
it is replaced for one call.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from llmtuner.data.question import Question
from llmtuner.data.tokenized import is_complete
from llmtuner.data.tokens.joint import JointEncoder, JointTokens
from llmtuner.data.tokens.roles import joint_roles
from llmtuner.mcq.memory import available_bytes
from llmtuner.mcq.probe import (
    STEPS,
    Timed,
    longest_and_typical,
    padded,
    timed_prediction,
    timed_training,
    trained_bytes,
    weight_bytes,
)
from llmtuner.mcq.smaller import Size
from llmtuner.report.dry_run import Lengths, Measured, Prompt
from llmtuner.runs.position import Position
from patches.dataset_encoding import watched
from patches.dry_run.parts import (
    PREDICTION,
    QUIET,
    TRAINING,
    Bound,
    Examined,
    examine,
    shown_prompt,
    shown_rows,
    speed_of,
    steps_of,
)
from patches.letter_scores import SEAM

_MULTIPLE = 8  # upstream pads the batches of a training to a multiple of this
# Flags of a run that the steps of a dry run do without.
_LEFT_OUT = ("resume_from_checkpoint", "load_best_model_at_end", "metric_for_best_model", "early_stopping_steps")
_NOT_EVALUATED = {"do_eval": False, "eval_strategy": "no"}


class _Done(Exception):
    """Everything was measured: the workflow ends here."""


@dataclass
class _Set:
    """The questions of a set as they were encoded: lengths of all, and those to show."""

    encoder: JointEncoder | None = None
    questions: list[Question] = field(default_factory=list)
    tokens: list[JointTokens] = field(default_factory=list)

    def lengths(self, *, training: bool) -> list[int]:
        """Tokens of each question before anything was cut, its answer included in a training."""
        return [
            len(t.prompt) + (len(t.response) if training else len(t.letter_prefix)) + t.cut + t.over
            for t in self.tokens
        ]


@dataclass
class _Dry:
    """What the workflow's parts tell, one after the other.

    Args:
        real: the run's own values, which the workflow gets changed.
    """

    real: Mapping[str, Any]
    processes: int
    position: Position | None
    available: int
    measured: Measured = field(default_factory=Measured)
    sets: dict[bool, _Set] = field(default_factory=dict)
    advice: list[str] = field(default_factory=list)

    def watch(self, is_eval: bool, encoder: JointEncoder, questions: list[Question], tokens: list[JointTokens]) -> None:
        """Take the questions of a batch."""
        part = self.sets.setdefault(is_eval, _Set())
        part.encoder = encoder
        part.questions += questions
        part.tokens += tokens

    def describe(self) -> None:
        """Prompts and lengths of what was encoded."""
        prompts: list[Prompt] = []
        lengths = []
        for is_eval, part in self.sets.items():
            counted = part.lengths(training=not is_eval)
            if not counted or part.encoder is None:
                continue
            cut, too_long = (sum(bool(getattr(t, name)) for t in part.tokens) for name in ("cut", "over"))
            name = "evaluation" if is_eval else TRAINING
            lengths.append(Lengths.of(name, counted, part.encoder.cutoff_len, cut=cut, too_long=too_long))
            prompts = prompts or _prompts(part, counted, training=not is_eval)
        self.measured = replace(self.measured, prompts=tuple(prompts), lengths=tuple(lengths))

    def add(self, examined: Examined, **more: Any) -> None:
        """Add the memory of a kind of steps, and values of other fields."""
        memory = (*self.measured.memory, examined.memory)
        advice = tuple(f"{examined.memory.purpose}: {line}" for line in examined.advice)
        self.measured = replace(self.measured, memory=memory, advice=(*self.measured.advice, *advice), **more)


def dry_sft(values: Mapping[str, Any], *, processes: int, position: Position | None, sharded: bool) -> Measured:
    """Everything that tokenizer and model tell of a run.

    Args:
        values: the given flags, converted by upstream's parser, with an output folder of its own.
        processes: that would share the work.
        position: of the checkpoint that it resumes from; None to begin.
        sharded: whether weights are split over processes, so that one cannot make a step alone.

    Raises:
        UserError: the input is wrong.
    """
    from llamafactory.train.tuner import run_exp

    if sharded:
        return Measured(notes=("weights are split over processes: prompts, memory and times were not looked at",))
    dry = _Dry(values, processes, position, available_bytes())
    if not _can_load(dry):
        return dry.measured
    changed = {name: value for name, value in values.items() if name not in _LEFT_OUT} | QUIET
    changed |= _NOT_EVALUATED if values.get("do_train") or values.get("do_predict") else {}
    changed |= {"gradient_accumulation_steps": 1} if values.get("do_train") else {}
    changed.pop("overwrite_cache", None)
    tokenized = values.get("tokenized_path")
    if tokenized is not None and (values.get("overwrite_cache") or not is_complete(tokenized)):  # it would be written
        changed.pop("tokenized_path")
    try:
        with watched(dry.watch), _trainer_replaced(dry):
            run_exp(changed, callbacks=[])
    except _Done:
        dry.describe()
    return dry.measured


def _can_load(dry: _Dry) -> bool:
    """Whether the weights alone fit; if not, this is all that is told."""
    import torch
    from llamafactory.hparams import ModelArguments
    from llamafactory.model.loader import load_config

    names = ("model_name_or_path", "cache_dir", "model_revision", "hf_hub_token", "trust_remote_code")
    config = load_config(ModelArguments(**{name: dry.real[name] for name in names if name in dry.real}))
    bound = Bound.before_loading(config, dry.real, logits=True)
    if bound.weights <= dry.available or torch.cuda.is_available():
        return True
    limit = dry.real.get("cutoff_len", 2048)
    size = Size(1, 1, limit, limit, limit, checkpointing=True, training=bool(dry.real.get("do_train")))
    dry.add(examine(TRAINING if size.training else PREDICTION, size, bound, dry.available, None))
    return False


@contextmanager
def _trainer_replaced(dry: _Dry) -> Iterator[None]:
    from llamafactory.train.sft import workflow

    original = getattr(workflow, SEAM.name)
    setattr(workflow, SEAM.name, _probing(original, dry))
    try:
        yield
    finally:
        setattr(workflow, SEAM.name, original)


def _probing(original: type, dry: _Dry) -> type:
    """A subclass of the run's trainer that measures instead of training and predicting."""

    class Probing(original):
        def train(self, *_: Any, **__: Any) -> Any:
            from transformers.trainer_callback import PrinterCallback

            self.remove_callback(PrinterCallback)
            _training(self, dry, super().train)
            if not dry.real.get("do_predict"):
                raise _Done
            from types import SimpleNamespace

            return SimpleNamespace(metrics={})

        def evaluate(self, *_: Any, **__: Any) -> Any:
            raise _Done

        def predict(self, test_dataset: Any, *args: Any, **kwargs: Any) -> Any:
            def predict(rows: Sequence[int]) -> Any:
                return super(Probing, self).predict(test_dataset.select(rows), *args, **kwargs)

            _prediction(self, dry, test_dataset, predict)
            raise _Done

        def save_model(self, *_: Any, **__: Any) -> None:
            """Nothing is saved."""

        save_state = save_metrics = log_metrics = save_model

    return Probing


def _training(trainer: Any, dry: _Dry, train: Any) -> None:
    args, dataset = trainer.args, trainer.train_dataset
    shapes = [(1, -(-length // _MULTIPLE) * _MULTIPLE) for length in _row_lengths(dataset)]
    size = min(args.per_device_train_batch_size, len(shapes))
    accumulated = dry.real.get("gradient_accumulation_steps", 1)
    real_args = copy.copy(args)
    real_args.gradient_accumulation_steps = accumulated
    batches = -(-len(trainer.get_train_dataloader()) // dry.processes)
    counts = {"batches": batches, "questions": len(shapes), "processes": dry.processes}
    steps = steps_of(trainer, real_args, position=dry.position, **counts)
    order = np.random.default_rng(args.seed).permutation(len(shapes)).tolist()
    drawn = [order[begin : begin + size] for begin in range(0, len(order) - size + 1, size)]
    _, typical = longest_and_typical(drawn, shapes)
    longest = sorted(range(len(shapes)), key=lambda row: shapes[row][1])[-size:]
    tokens = (padded(longest, shapes), padded(typical, shapes))
    of_run = Size(
        batch=args.per_device_train_batch_size,
        accumulation=accumulated,
        tokens=tokens[0],
        longest=max(length for _, length in shapes),
        cutoff_len=dry.real.get("cutoff_len", 2048),
        checkpointing=any(getattr(module, "gradient_checkpointing", False) for module in trainer.model.modules()),
        training=True,
    )

    def measure() -> Timed:
        # The trainer's own loader over three batches, in this order.
        trainer.train_dataset = dataset.select([*longest, *longest, *typical])
        trainer.finetuning_args.disable_shuffling = True
        trainer.args.max_steps, trainer._train_batch_size = STEPS, size
        trainer.args.per_device_train_batch_size = size
        timed = timed_training(trainer, train)
        trainer.model.zero_grad(set_to_none=True)
        return timed

    each = examine(TRAINING, of_run, _bound(trainer.model), dry.available, measure)
    dry.add(each, steps=steps)
    if each.timed is not None:
        left = steps.total - steps.done
        speed = speed_of(TRAINING, each.timed, tokens, batches_per_step=accumulated, steps=left)
        dry.measured = replace(dry.measured, speed=(*dry.measured.speed, speed))


def _prediction(trainer: Any, dry: _Dry, dataset: Any, predict: Any) -> None:
    shapes = [(1, length) for length in _row_lengths(dataset)]
    size = trainer.args.per_device_eval_batch_size
    batches = [list(range(begin, min(begin + size, len(shapes)))) for begin in range(0, len(shapes), size)]
    longest, typical = longest_and_typical(batches, shapes)
    tokens = (padded(longest, shapes), padded(typical, shapes))
    of_run = Size(
        batch=size,
        accumulation=1,
        tokens=tokens[0],
        longest=max(length for _, length in shapes),
        cutoff_len=dry.real.get("cutoff_len", 2048),
        checkpointing=False,
        training=False,
    )
    measure = lambda: timed_prediction(trainer.model, lambda: predict(longest), lambda: predict(typical))  # noqa: E731
    each = examine(PREDICTION, of_run, _bound(trainer.model), dry.available, measure)
    dry.add(each)
    if each.timed is not None:
        steps = -(-len(batches) // dry.processes)
        speed = speed_of(PREDICTION, each.timed, tokens, batches_per_step=1, steps=steps)
        dry.measured = replace(dry.measured, speed=(*dry.measured.speed, speed))


def _row_lengths(dataset: Any) -> list[int]:
    return [len(ids) for ids in dataset.select_columns("input_ids")["input_ids"]]


def _bound(model: Any) -> Bound:
    itemsize = next(model.parameters()).element_size()
    return Bound(model.config, weight_bytes(model), trained_bytes(model), itemsize, logits=True)


def _prompts(part: _Set, lengths: Sequence[int], *, training: bool) -> list[Prompt]:
    encoder = part.encoder
    assert encoder is not None, "it made the tokens"
    shown = []
    for row, why in shown_rows(lengths):
        question, tokens = part.questions[row], part.tokens[row]
        ids = [*tokens.prompt, *tokens.response] if training else tokens.scored
        scored = set(range(len(tokens.prompt), len(ids))) if training else {len(ids) - 1}
        roles = joint_roles(encoder, question, tokens, len(ids))
        shown.append(shown_prompt(question, tokens, why, encoder.tokenizer, [(ids, roles, scored)]))
    return shown
