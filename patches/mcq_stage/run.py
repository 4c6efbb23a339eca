"""One run of --stage mcq, from parsed flags to files."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from llmtuner.data.predictions import write_predictions
from llmtuner.errors import UserError
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.dropout import has_dropout, set_dropout
from llmtuner.mcq.finite import FiniteGuard
from llmtuner.mcq.objective import Objective
from llmtuner.mcq.plan import Plan
from llmtuner.mcq.predict import figures, floors_of
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.settings import McqSettings, objective_of
from llmtuner.mcq.trainer import McqTrainer
from llmtuner.report.summary import print_scores
from patches.mcq_stage.data import RunQuestions, encode_set, read_run_questions, with_options_counted
from patches.mcq_stage.model import (
    announce_head,
    check_resumed_head,
    complete,
    load,
    make_plan,
    make_reader,
    renewed,
    settle_layout,
)

logger = logging.getLogger("llmtuner.mcq")
REPORTED = ("map@3", "accuracy", "mrr", "nll", "ece", "loss")  # of each evaluation


def run_mcq(argv: list[str]) -> None:
    """Train, evaluate and predict as the flags say.

    Raises:
        UserError: a mistake of the user's.
        RunError: the run failed although nothing was wrong with what it was given.
    """
    _run(argv)
    # Only now: the trainer holds references to the group, which must not be the last ones.
    _leave_process_group()


def _run(argv: list[str]) -> None:
    from llamafactory.train import tuner

    model_args, data_args, training_args, finetuning_args, generating_args = tuner.get_train_args(argv)
    _refuse_unusable(training_args, finetuning_args)
    if (training_args.metric_for_best_model or "").endswith(("nll", "ece")) and not _given("greater_is_better", argv):
        training_args.greater_is_better = False  # transformers knows of "loss" only that less is better
    speaks, training = training_args.should_log, training_args.do_train
    questions = read_run_questions(data_args, training_args)
    if training:
        _check_best_metric(training_args, finetuning_args, [*questions.evaluate], each=data_args.eval_on_each_dataset)
    plan, config = make_plan(model_args, finetuning_args, training=training)
    objective = _objective(training_args, finetuning_args, plan.settings)
    if training and objective.rdrop_alpha and not _may_drop(finetuning_args, config.to_dict(), plan.settings):
        raise UserError(_idle_rdrop(finetuning_args))
    new = plan.source is None
    plan = replace(plan, settings=with_options_counted(plan.settings, questions.everything, new=new))
    _refuse_shuffling(finetuning_args, plan.settings, training=training)
    for notice in plan.notices if speaks else ():
        logger.info(notice)
    reader = make_reader(plan, config, model_args, data_args)
    train_set, eval_sets = _encode(questions, reader.encoder, data_args, training_args, finetuning_args)
    model = load(plan, reader, config, model_args, finetuning_args, training=training)
    if training:
        _before_training(model, plan, training_args, finetuning_args, speaks=speaks)
    first = train_set or next(iter(eval_sets.values()))
    asked = finetuning_args.mcq_layout == "shared_prefix"
    settings = settle_layout(model, plan, reader, first, asked=asked)
    if new:
        settings = complete(settings, reader, config)
    elif training:
        settings = renewed(settings, reader)
    if training:
        settings = _with_objective(settings, training_args, finetuning_args)

    eval_set = eval_sets if eval_sets and data_args.eval_on_each_dataset else _joined(eval_sets)
    trainer = McqTrainer(
        model=model,
        args=training_args,
        settings=settings,
        collator=Collator.of(settings, reader.pad_token_id),
        train_set=train_set,
        eval_set=eval_set,
        tokens_per_batch=finetuning_args.mcq_tokens_per_batch,
        head_learning_rate=finetuning_args.head_learning_rate,
        objective=objective,
        build_optimizer=lambda model: _custom_optimizer(model, training_args, finetuning_args),
        processing_class=reader.tokenizer,
        callbacks=_callbacks(model_args, data_args, training_args, finetuning_args, generating_args),
    )
    if training:
        _train(trainer, training_args, finetuning_args)
    if training_args.do_eval and eval_sets:
        metrics = trainer.evaluate(metric_key_prefix="eval")
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)
    if training_args.do_predict:
        _predict(trainer, _joined(eval_sets))
    if training:
        _write_card(trainer, model_args, data_args, training_args, finetuning_args)


def _before_training(model: Any, plan: Plan, training_args: Any, finetuning_args: Any, *, speaks: bool) -> None:
    if finetuning_args.mcq_dropout is not None and not set_dropout(model, finetuning_args.mcq_dropout):
        raise UserError("--mcq_dropout: this model has no dropout that could be set; leave the flag out")
    if finetuning_args.mcq_rdrop_alpha and not has_dropout(model):  # a configuration names dropout of other heads, too
        raise UserError(_idle_rdrop(finetuning_args))
    if speaks:
        announce_head(model, plan)
    if training_args.resume_from_checkpoint:
        check_resumed_head(model, training_args.resume_from_checkpoint)


def _given(flag: str, argv: list[str]) -> bool:
    return any(word.split("=")[0] == f"--{flag}" for word in argv)


def _refuse_unusable(training_args: Any, finetuning_args: Any) -> None:
    if finetuning_args.mcq_tokens_per_batch is not None and finetuning_args.mcq_tokens_per_batch < 1:
        raise UserError(f"--mcq_tokens_per_batch {finetuning_args.mcq_tokens_per_batch}: a number of tokens is needed")
    if finetuning_args.mcq_dropout is not None and not 0 <= finetuning_args.mcq_dropout < 1:
        raise UserError(f"--mcq_dropout {finetuning_args.mcq_dropout}: a share from 0 to below 1 is needed")
    if finetuning_args.head_learning_rate is not None and not finetuning_args.head_learning_rate > 0:
        raise UserError(f"--head_learning_rate {finetuning_args.head_learning_rate}: a number above 0 is needed")
    for flag, found, why in (
        ("auto_find_batch_size", training_args.auto_find_batch_size, "set a batch size, or --mcq_tokens_per_batch"),
        ("dataloader_drop_last", training_args.dataloader_drop_last, "every question counts once an epoch"),
        ("disable_shuffling", finetuning_args.disable_shuffling, "each epoch has an order of its own"),
    ):
        if found:
            raise UserError(f"--{flag} does not go with --stage mcq: {why}; leave the flag out")


def _objective(training_args: Any, finetuning_args: Any, settings: McqSettings) -> Objective:
    """What the flags ask to be minimised. A prediction minimises nothing, and needs no package for it."""
    if not training_args.do_train and not training_args.do_eval:
        return Objective()
    return Objective(
        settings.loss,
        training_args.label_smoothing_factor,
        finetuning_args.mcq_loss_warmup_ratio,
        finetuning_args.mcq_rdrop_alpha,
    )


def _with_objective(settings: McqSettings, training_args: Any, finetuning_args: Any) -> McqSettings:
    """Settings that say what this training minimises beside the loss."""
    flags = {**vars(finetuning_args), "label_smoothing_factor": training_args.label_smoothing_factor}
    return settings.with_(objective=objective_of(flags))


def _may_drop(finetuning_args: Any, config: dict[str, Any], settings: McqSettings) -> bool:
    """Whether R-Drop, which compares two passes, may find some dropout, as far as can be told without the model."""
    text = config.get("text_config") or config
    of_model = [value for name, value in text.items() if "drop" in name and isinstance(value, int | float)]
    dropouts = of_model if finetuning_args.mcq_dropout is None else [finetuning_args.mcq_dropout]
    adapters = finetuning_args.finetuning_type == "lora" and finetuning_args.lora_dropout
    return bool(any(dropouts) or adapters or settings.duma.get("dropout"))


def _idle_rdrop(finetuning_args: Any) -> str:
    add = (
        "--lora_dropout 0.1 or --mcq_dropout 0.1" if finetuning_args.finetuning_type == "lora" else "--mcq_dropout 0.1"
    )
    return (
        f"--mcq_rdrop_alpha {finetuning_args.mcq_rdrop_alpha}: nothing in this model has any dropout, so that two "
        f"passes are the same and R-Drop would do nothing; add {add}, or leave the flag out"
    )


def _refuse_shuffling(finetuning_args: Any, settings: McqSettings, *, training: bool) -> None:
    if finetuning_args.mcq_shuffle_options and training and settings.layout != "joint":
        raise UserError(
            "--mcq_shuffle_options is for joint prompts (--mcq_head letter, or --mcq_layout joint); elsewhere the "
            "order of the options changes no score: leave the flag out"
        )


def _check_best_metric(training_args: Any, finetuning_args: Any, names: list[str], *, each: bool) -> None:
    """Refuse a metric that no evaluation will report, before hours of training lead up to it."""
    prefixes = [f"{name}_" for name in names] if each else [""]
    reported = [f"{prefix}{metric}" for prefix in prefixes for metric in REPORTED]
    metric = training_args.metric_for_best_model
    if finetuning_args.early_stopping_steps is not None and metric is None:
        raise UserError(
            "--early_stopping_steps needs --load_best_model_at_end true and --metric_for_best_model, for example map@3"
        )
    if metric is not None and metric.removeprefix("eval_") not in reported:
        raise UserError(f"--metric_for_best_model {metric}: no evaluation reports it; there are {', '.join(reported)}")


def _encode(
    questions: RunQuestions, encoder: Any, data_args: Any, training_args: Any, finetuning_args: Any
) -> tuple[QuestionSet | None, dict[str, QuestionSet]]:
    speaks = training_args.should_log
    seed = training_args.seed if finetuning_args.mcq_shuffle_options else None
    train_set = None
    if questions.train:
        more = {"training": True, "speaks": speaks, "shuffle_seed": seed}
        train_set = encode_set(questions.train, "training", encoder, data_args, **more)
    return train_set, {
        name: encode_set(part, name, encoder, data_args, training=False, speaks=speaks)
        for name, part in questions.evaluate.items()
    }


def _joined(sets: dict[str, QuestionSet]) -> QuestionSet | None:
    """Several sets as one, in order, without encoding again."""
    if not sets:
        return None
    first, *others = sets.values()
    return first.joined(others)


def _custom_optimizer(model: Any, training_args: Any, finetuning_args: Any) -> Any:
    from llamafactory.train.trainer_utils import create_custom_optimizer

    return create_custom_optimizer(model, training_args, finetuning_args)


def _callbacks(
    model_args: Any, data_args: Any, training_args: Any, finetuning_args: Any, generating_args: Any
) -> list[Any]:
    """What upstream gives to every stage, and our guard."""
    from llamafactory.train import callbacks
    from transformers import EarlyStoppingCallback

    found: list[Any] = [FiniteGuard(), callbacks.LogCallback()]
    if finetuning_args.pissa_convert:
        found.append(callbacks.PissaConvertCallback())
    if finetuning_args.use_swanlab:
        from llamafactory.train.trainer_utils import get_swanlab_callback

        found.append(get_swanlab_callback(finetuning_args))
    if finetuning_args.early_stopping_steps is not None:
        found.append(EarlyStoppingCallback(early_stopping_patience=finetuning_args.early_stopping_steps))
    found.append(callbacks.ReporterCallback(model_args, data_args, finetuning_args, generating_args))
    return found


def _train(trainer: McqTrainer, training_args: Any, finetuning_args: Any) -> None:
    result = trainer.train(resume_from_checkpoint=training_args.resume_from_checkpoint)
    trainer.save_model()
    trainer.log_metrics("train", result.metrics)
    trainer.save_metrics("train", result.metrics)
    trainer.save_state()
    if trainer.is_world_process_zero() and finetuning_args.plot_loss:
        from llamafactory.extras.ploting import plot_loss

        keys = ["loss"]
        if training_args.eval_strategy != "no":
            names = trainer.eval_dataset if isinstance(trainer.eval_dataset, dict) else [""]
            prefixes = [f"eval_{name}_" if name else "eval_" for name in names]
            keys += list(chain.from_iterable((f"{prefix}loss", f"{prefix}map@3") for prefix in prefixes))
        plot_loss(training_args.output_dir, keys=keys)


def _predict(trainer: McqTrainer, questions: QuestionSet | None) -> None:
    if questions is None:
        raise UserError("--do_predict needs questions: name them with --eval_dataset")
    predictions, metrics = trainer.predict_options(questions, "predict")
    values = figures(predictions)
    known = sum(prediction.answer is not None for prediction in predictions)
    if 0 < known < len(predictions):
        values["scored_questions"] = known
    results: dict[str, Any] = metrics | {f"predict_{name}": value for name, value in values.items()}
    if values:
        results |= floors_of(questions.questions)
    results |= {"mcq_layout": trainer.settings.layout, "mcq_head": trainer.settings.head}
    if trainer.is_world_process_zero():  # before the results, which say that all is there
        write_predictions(predictions, trainer.args.output_dir)
    trainer.log_metrics("predict", results)
    trainer.save_metrics("predict", results)
    if trainer.is_world_process_zero():
        print_scores(results, trainer.args.output_dir)


def _write_card(trainer: McqTrainer, model_args: Any, data_args: Any, training_args: Any, finetuning_args: Any) -> None:
    """The model's card. Upstream's own, and peft's, call every model a text generator."""
    from huggingface_hub import ModelCard

    if trainer.is_world_process_zero():
        # With a licence given, no hub is asked.
        trainer.create_model_card(
            license="other", finetuned_from=model_args.model_name_or_path, dataset=data_args.dataset
        )
        path = Path(training_args.output_dir, "README.md")
        card = ModelCard.load(path)
        card.data.pipeline_tag = "multiple-choice"
        card.data.tags = sorted({*(card.data.tags or []), "llama-factory", "mcq", finetuning_args.finetuning_type})
        card.save(path)
    if training_args.push_to_hub:
        trainer.push_to_hub()


def _leave_process_group() -> None:
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
