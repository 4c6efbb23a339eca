"""Turns a run into upstream's argument objects, for its loader, optimizers and callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmtuner.errors import UserError
from llmtuner.mcq.best_metric import check_reported
from llmtuner.mcq.run import McqRun
from llmtuner.spec.metrics import higher_is_better


@dataclass(frozen=True, slots=True)
class StageArguments:
    """Upstream's argument objects; they do not change after `adapt`."""

    model: Any
    data: Any
    training: Any
    finetuning: Any
    generating: Any


def adapt(run: McqRun, values: Mapping[str, Any]) -> StageArguments:
    """The arguments of a run.

    Args:
        values: the given flags, converted by upstream's parser.

    Raises:
        UserError: a check of upstream failed, or no evaluation reports the metric.
    """
    from llamafactory.train import tuner

    arguments = StageArguments(*tuner.get_train_args(dict(values)))
    # The run decides which adapters lie below the given ones, and whether all of them are merged.
    arguments.model.adapter_name_or_path = list(run.adapters) or None
    arguments.finetuning.create_new_adapter = run.merge_all
    best = arguments.training.metric_for_best_model
    if best is not None and "greater_is_better" not in values:
        arguments.training.greater_is_better = higher_is_better(best)
    if len(run.adapters) > 1 or run.merge_all:
        _refuse_merging(arguments.model)
    return arguments


def check_best_metric(run: McqRun, arguments: StageArguments, evaluated: list[str]) -> None:
    """Refuse a metric that no evaluation will report at once, not after hours of training.

    Args:
        evaluated: names of the evaluation sets.

    Raises:
        UserError: the metric is not reported; the message lists those that are.
    """
    if not run.training:
        return
    metric = arguments.training.metric_for_best_model
    if arguments.finetuning.early_stopping_steps is not None and metric is None:
        raise UserError(
            "--early_stopping_steps needs --load_best_model_at_end true and --metric_for_best_model, for example map@3"
        )
    check_reported(metric, evaluated if run.data.each else ())


def _refuse_merging(model_args: Any) -> None:
    from transformers.integrations import is_deepspeed_zero3_enabled

    reason = "--quantization_bit" if model_args.quantization_bit is not None else ""
    reason = "DeepSpeed ZeRO-3" if is_deepspeed_zero3_enabled() else reason
    if reason:
        raise UserError(
            f"an adapter of --stage sft cannot be merged with {reason}; merge it first (scripts/merge.py) "
            "and pass the merged model as --model_name_or_path"
        )
