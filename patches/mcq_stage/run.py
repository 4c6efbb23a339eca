"""One run of --stage mcq, from a settled `McqRun` to its output files."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from llmtuner.data.baselines import baselines_of
from llmtuner.data.prediction_files import replacing_prediction
from llmtuner.data.predictions import SUBMISSION, write_predictions
from llmtuner.data.submission_check import require_sound
from llmtuner.errors import FieldError, UserError
from llmtuner.mcq.batches import largest_question
from llmtuner.mcq.checkpoint import check_base, fitting
from llmtuner.mcq.dropout import has_dropout, set_dropout
from llmtuner.mcq.encoding import complete, renewed, with_options_counted
from llmtuner.mcq.packing import settle_layout
from llmtuner.mcq.predict import figures_of, interval_of
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.trained_places import places_of_run
from llmtuner.mcq.trainer import McqTrainer
from llmtuner.metrics import scored_figure
from llmtuner.report.summary import print_scores
from llmtuner.runs.keeper import RunKeeper
from patches.gradient_checkpointing import leave_off, settle
from patches.mcq_stage.arguments import StageArguments, adapt, check_best_metric
from patches.mcq_stage.data import RunSets, encode, read_run_questions
from patches.mcq_stage.model import Reader, announce_head, check_resumed_head, is_sharded, load, make_reader

logger = logging.getLogger("llmtuner.mcq")


def run_mcq(run: McqRun, values: Mapping[str, Any], keeper: RunKeeper | None = None) -> None:
    """Train, evaluate and predict.

    Args:
        values: the given flags, converted by upstream's parser.
        keeper: writes the manifests of a training.

    Raises:
        UserError: the input is wrong.
        RunError: the run failed although its input was valid.
    """
    _run(run, values, keeper)
    # Not before `_run` returns: the trainer's references to the group must not be the last ones.
    _leave_process_group()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run with its questions encoded, before the model is loaded."""

    run: McqRun
    arguments: StageArguments
    config: Any
    reader: Reader
    sets: RunSets


def prepare(run: McqRun, values: Mapping[str, Any]) -> Prepared:
    """Read and encode the questions.

    Raises:
        UserError: the input is wrong.
    """
    from llamafactory.model.loader import load_config

    arguments = adapt(run, values)
    speaks, seed = arguments.training.should_log, arguments.training.seed
    evaluates_in_training = arguments.training.eval_strategy != "no"
    # The process that reports retrieves first; the others then take its contexts from the cache.
    first = arguments.training.main_process_first if run.data.retrieve is not None else nullcontext
    with first():
        questions = read_run_questions(run, seed=seed, evaluates_in_training=evaluates_in_training, speaks=speaks)
    check_best_metric(run, arguments, [*questions.evaluate])
    run = with_options_counted(run, questions.everything)
    config = load_config(arguments.model)
    check_base(run.settings, config, run.source or "")
    reader = make_reader(run, config, arguments)
    sets = encode(questions, reader.encoder, run.data, seed=seed, speaks=speaks)
    if run.settings.kind == "encoder":
        leave_off(arguments.model)
    elif sets.train is not None:
        rows, longest = largest_batch(sets.train, run, arguments)
        settle(arguments.model, config, rows * longest, longest, logits=False, speaks=speaks)
    return Prepared(run, arguments, config, reader, sets)


def load_model(prepared: Prepared) -> tuple[McqRun, Any]:
    """The run, completed with what only the loaded model tells, and the model.

    Raises:
        UserError: the weights do not fit, or the model cannot take the layout.
    """
    run, arguments = prepared.run, prepared.arguments
    model = load(run, prepared.reader, prepared.config, arguments)
    speaks = arguments.training.should_log
    if run.training:
        _before_training(model, run, arguments, speaks=speaks)
    return _completed(run, model, prepared.reader, prepared.config, prepared.sets, speaks=speaks), model


def _run(run: McqRun, values: Mapping[str, Any], keeper: RunKeeper | None) -> None:
    prepared = prepare(run, values)
    arguments, sets = prepared.arguments, prepared.sets
    run, model = load_model(prepared)
    trainer = _trainer(run, model, prepared.reader, sets, arguments, keeper)
    if run.training:
        _train(trainer, arguments)
        trainer.finish_training()
    if arguments.training.do_eval and sets.evaluate:
        metrics = trainer.evaluate(metric_key_prefix="eval")
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)
    if run.predicting:
        _predict(trainer, sets.evaluate_joined)
    if run.training:
        _write_card(trainer, arguments)


def largest_batch(train: QuestionSet, run: McqRun, arguments: StageArguments) -> tuple[int, int]:
    """Rows of the largest batch that could be made of a training set, all as long as its longest row, and that row."""
    shapes = train.shapes(run.settings.layout)
    longest = max(length for _, length in shapes)
    rows = max(rows for rows, _ in shapes) * arguments.training.per_device_train_batch_size
    if run.tokens_per_batch is not None:  # a question above the budget is a batch of its own
        tokens = max(run.tokens_per_batch // run.objective.copies, largest_question(shapes))
        rows = math.ceil(tokens / longest)
    return rows * run.objective.copies, longest


def _before_training(model: Any, run: McqRun, arguments: StageArguments, *, speaks: bool) -> None:
    dropout = run.objective.dropout
    if dropout is not None and not set_dropout(model, dropout):
        raise FieldError("dropout", dropout, "this model has no dropout that could be set; leave it out")
    lora = arguments.finetuning.finetuning_type == "lora"
    # Check again with the model itself: a configuration may name dropout of heads that the model does not have.
    run.objective.require_dropout(has_dropout(model), lora=lora)
    if speaks:
        announce_head(model, run)
    if arguments.training.resume_from_checkpoint:
        check_resumed_head(model, arguments.training.resume_from_checkpoint)


def _completed(run: McqRun, model: Any, reader: Reader, config: Any, sets: RunSets, *, speaks: bool) -> McqRun:
    """Complete the run with what only the loaded model tells: its layout, the prompt's form, the base model."""
    settings, notices = settle_layout(
        model,
        run.settings,
        sets.first.tokens,
        reader.pad_token_id,
        required=run.layout_required,
        sharded=is_sharded(model),
    )
    for notice in notices if speaks else ():
        logger.info(notice)
    if run.new:
        settings = complete(settings, reader.encoder, config, run.template)
    elif run.training:
        settings = renewed(settings, reader.encoder)
    return replace(run, settings=settings)


def _trainer(
    run: McqRun, model: Any, reader: Reader, sets: RunSets, arguments: StageArguments, keeper: RunKeeper | None
) -> McqTrainer:
    from llamafactory.train.trainer_utils import create_custom_optimizer

    return McqTrainer(
        model,
        arguments.training,
        run,
        pad_token_id=reader.pad_token_id,
        train_set=sets.train,
        eval_set=sets.evaluate if sets.evaluate and run.data.each else sets.evaluate_joined,
        build_optimizer=lambda model: create_custom_optimizer(model, arguments.training, arguments.finetuning),
        processing_class=reader.tokenizer,
        callbacks=[*([] if keeper is None else [keeper]), *_callbacks(arguments)],
    )


def _callbacks(arguments: StageArguments) -> list[Any]:
    """The callbacks that upstream gives to every stage."""
    from llamafactory.train import callbacks
    from transformers import EarlyStoppingCallback

    finetuning = arguments.finetuning
    chosen: list[Any] = [callbacks.LogCallback()]
    if finetuning.pissa_convert:
        chosen.append(callbacks.PissaConvertCallback())
    if finetuning.use_swanlab:
        from llamafactory.train.trainer_utils import get_swanlab_callback

        chosen.append(get_swanlab_callback(finetuning))
    if finetuning.early_stopping_steps is not None:
        chosen.append(EarlyStoppingCallback(early_stopping_patience=finetuning.early_stopping_steps))
    chosen.append(callbacks.ReporterCallback(arguments.model, arguments.data, finetuning, arguments.generating))
    return chosen


def _train(trainer: McqTrainer, arguments: StageArguments) -> None:
    checkpoint = arguments.training.resume_from_checkpoint
    with fitting([checkpoint] if checkpoint else [], trainer.run.model):
        result = trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model()
    trainer.log_metrics("train", result.metrics)
    trainer.save_metrics("train", result.metrics)
    trainer.save_state()
    if trainer.is_world_process_zero() and arguments.finetuning.plot_loss:
        from llamafactory.extras.ploting import plot_loss

        keys = ["loss"]
        if arguments.training.eval_strategy != "no":
            names = trainer.eval_dataset if isinstance(trainer.eval_dataset, dict) else [""]
            prefixes = [f"eval_{name}_" if name else "eval_" for name in names]
            keys += list(chain.from_iterable((f"{prefix}loss", f"{prefix}map@3") for prefix in prefixes))
        plot_loss(arguments.training.output_dir, keys=keys)


def _predict(trainer: McqTrainer, questions: QuestionSet | None) -> None:
    if questions is None:
        raise UserError("--do_predict needs questions: name them with --eval_dataset")
    orders = trainer.run.option_orders
    predictions, metrics = trainer.predict_options(questions, "predict", orders=orders)
    values = figures_of(predictions)
    known = sum(prediction.answer is not None for prediction in predictions)
    results: dict[str, Any] = metrics | {f"predict_{name}": value for name, value in values.items()}
    results |= interval_of(predictions, "predict") | scored_figure(known, len(predictions))
    if values:
        places = places_of_run(trainer.run, trainer.train_dataset)
        results |= baselines_of(questions.questions, places, retrieved=trainer.run.data.retrieve is not None)
    settings = trainer.run.settings
    results |= {"mcq_layout": settings.layout, "mcq_head": settings.head}
    if settings.likelihood_norm is not None:
        results["mcq_likelihood_norm"] = settings.likelihood_norm
    if orders > 1:
        results["mcq_option_orders"] = orders
    trainer.log_metrics("predict", results)
    if trainer.is_world_process_zero():
        with replacing_prediction(trainer.args.output_dir, results) as folder:
            write_predictions(predictions, folder)
        print_scores(results, trainer.args.output_dir)
        require_sound(Path(trainer.args.output_dir, SUBMISSION), predictions)


def _write_card(trainer: McqTrainer, arguments: StageArguments) -> None:
    """Write the model card. Upstream's card and peft's call every model a text generator."""
    from huggingface_hub import ModelCard

    if trainer.is_world_process_zero():
        # With a licence given, the hub is not contacted.
        trainer.create_model_card(license="other", finetuned_from=trainer.run.model, dataset=arguments.data.dataset)
        path = Path(arguments.training.output_dir, "README.md")
        card = ModelCard.load(path)
        card.data.pipeline_tag = "multiple-choice"
        card.data.tags = sorted({*(card.data.tags or []), "llama-factory", "mcq", arguments.finetuning.finetuning_type})
        card.save(path)
    if arguments.training.push_to_hub:
        trainer.push_to_hub()


def _leave_process_group() -> None:
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
