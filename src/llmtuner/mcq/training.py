"""Training from Python, without upstream, in one function.

scorer = train("models/Llama-2-7b-hf", questions, "mcq_checkpoint", head="linear")
predictions = scorer.score(other_questions)
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmtuner.data.collect import answer_places, require_answers
from llmtuner.data.digest import questions_digest
from llmtuner.data.question import Question
from llmtuner.data.tokens.coverage import check_tokenizer
from llmtuner.data.tokens.encoder import PromptEncoder
from llmtuner.data.tokens.fields import Template
from llmtuner.data.tokens.templates import template_of
from llmtuner.errors import DataError, FieldError, UserError
from llmtuner.mcq.arguments import check_lora, check_template, engine_fields, settle_folder, training_arguments
from llmtuner.mcq.checkpoint import check_base, load_head
from llmtuner.mcq.dropout import has_dropout, set_dropout
from llmtuner.mcq.encoding import complete, make_encoder, renewed, stored_encoder, with_options_counted
from llmtuner.mcq.folders import check_model_folder
from llmtuner.mcq.fp32 import widen_trained
from llmtuner.mcq.lora_targets import embeddings_of, refuse_embeddings
from llmtuner.mcq.model import HEAD, attach_head, freeze_pooler
from llmtuner.mcq.packing import settle_layout
from llmtuner.mcq.prompts import recorded_flags
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.run import McqRun, resolve_run
from llmtuner.mcq.scorer import OptionScorer, load_scorer
from llmtuner.mcq.settings import read_settings
from llmtuner.mcq.targets import check_targets
from llmtuner.mcq.trainer import McqTrainer
from llmtuner.mcq.whole import load_whole
from llmtuner.runs.adapter import is_adapter
from llmtuner.runs.base import model_folder, stored_path
from llmtuner.runs.intact import warn_unless_intact
from llmtuner.runs.keeper import RunKeeper
from llmtuner.runs.lock import locked
from llmtuner.runs.manifest import DataDigest, Manifest
from llmtuner.runs.trained import read_trained
from llmtuner.runs.versions import installed_versions
from llmtuner.runs.weights import base_fingerprint, vocabulary_digest
from llmtuner.spec.flags import FIELDS
from llmtuner.spec.heads import HEADS
from llmtuner.spec.resume import is_secret

logger = logging.getLogger("llmtuner.mcq")


def train(
    model: str,
    questions: Sequence[Question],
    output_dir: str,
    *,
    evaluate: Sequence[Question] = (),
    lora: Any = None,
    template: Template | None = None,
    arguments: Mapping[str, Any] | None = None,
    trust_remote_code: bool = False,
    overwrite: bool = False,
    **fields: Any,
) -> OptionScorer:
    """Train a head, with all weights of the model or with LoRA, and return a scorer.

    Args:
        model: folder of the base model, or of a whole model trained before, whose head is trained further.
        questions: with answers.
        output_dir: for weights, tokenizer, settings and checkpoints; `load_scorer` reads it. One that holds an earlier
            training is refused.
        evaluate: questions for evaluations during the training (`eval_strategy` in the arguments).
        lora: a `peft.LoraConfig`; if None, all weights are trained.
        template: makes the prompts of a causal model; if None, the tokenizer's own chat template, or plain text if
            the tokenizer has none.
        arguments: of `transformers.TrainingArguments`.
        overwrite: train afresh in a folder that holds an earlier training, whose files are renamed to `replaced-*`.
        fields: head, layout, pooling, loss, dropout, tokens_per_batch, head_learning_rate and the other fields of
            `llmtuner.spec.flags.FIELDS` by name; those of co-attention as `duma_width` and so on.

    Raises:
        FieldError: an unknown field, a number out of range, or a value that contradicts another one.
        UserError: arguments that mean something else here; a folder with an earlier training, or another run in it.
        DataError: a question has no answer, is too long, or gives no tokens; the tokenizer cannot read the questions.
        RunError: the loss became NaN or Inf.
    """
    from transformers import set_seed

    if not questions:
        raise DataError("there are no questions to train on")
    require_answers(questions, "training needs")
    training = training_arguments(output_dir, arguments or {})
    if training.eval_strategy != "no" and all(question.answer is None for question in evaluate):
        require_answers(evaluate, "evaluation during training needs")
    earlier = settle_folder(Path(output_dir), model, overwrite=overwrite)
    given = engine_fields(fields)
    if template is not None and given.get("prompt") is not None:
        given["template"] = type(template).__name__  # a prompt's file goes into its turns
    check_lora(lora)
    _check_model(model, trust_remote_code=trust_remote_code)
    run = resolve_run(model, given=given, training=True, output_dir=output_dir, evaluating=bool(evaluate))
    check_template(template, run.settings.kind)
    check_targets(questions, run.objective)
    planned = _planned(run, questions, {**(arguments or {}), **given})
    run.objective.require_packages()
    run = with_options_counted(run, [*questions, *evaluate])
    set_seed(training.seed)
    loaded, tokenizer = _loaded(run, trust_remote_code=trust_remote_code)
    keeper = RunKeeper(planned, Path(output_dir), earlier=earlier, trained=read_trained([model]))
    with locked(Path(output_dir), training=True, flag="output_dir"):
        return _train(run, loaded, tokenizer, questions, evaluate, lora, template, training, keeper)


def _check_model(model: str, *, trust_remote_code: bool) -> None:
    """Check a base model's folder before it is loaded; names of the hub are left to transformers."""
    if not Path(model).is_dir():
        return
    if is_adapter(model) and not (Path(model) / "config.json").is_file():
        raise UserError(f"{model} is an adapter; merge it into its base model first (scripts/merge.py)")
    warn_unless_intact(Path(model))
    check_model_folder(model, trust_remote_code=trust_remote_code)


def _loaded(run: McqRun, *, trust_remote_code: bool) -> tuple[Any, Any]:
    """The model as it is stored, and its tokenizer."""
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

    loader = AutoModel if run.settings.kind == "encoder" else AutoModelForCausalLM
    more = {"dtype": "auto", "trust_remote_code": trust_remote_code, "use_safetensors": True}
    loaded = load_whole(loader.from_pretrained, run.model, scores_tokens=not HEADS[run.settings.head].pools, **more)
    tokenizer = AutoTokenizer.from_pretrained(run.model, trust_remote_code=trust_remote_code)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return loaded, tokenizer


def _planned(run: McqRun, questions: Sequence[Question], given: Mapping[str, Any]) -> Manifest:
    """The manifest of a training before its first step; its settings are the given values, by flag."""
    settings = {FIELDS[name].name if name in FIELDS else name: value for name, value in given.items()}
    settings |= {FIELDS[name].name: getattr(run.settings, name) for name in ("head", "layout", "pooling", "loss")}
    settings |= recorded_flags(run.settings.prompt)
    base = model_folder(run.model)
    return Manifest(
        stage="mcq",
        step=0,
        max_steps=0,
        epoch=0.0,
        data=DataDigest(questions_digest(questions), len(questions)),
        base="" if base is None else base_fingerprint(base),
        tokenizer="" if base is None else vocabulary_digest(base),
        settings={name: value for name, value in sorted(settings.items()) if not is_secret(name)},
        answer_places=answer_places(questions),
        versions=installed_versions(),
    )


def _train(
    run: McqRun,
    model: Any,
    tokenizer: Any,
    questions: Sequence[Question],
    evaluate: Sequence[Question],
    lora: Any,
    template: Template | None,
    training: Any,
    keeper: RunKeeper,
) -> OptionScorer:
    encoder = _encoder(run, tokenizer, model.config, template)
    sets = _encoded(run, encoder, questions, evaluate, seed=training.seed)
    if run.new:
        run = replace(run, settings=complete(run.settings, encoder, model.config, None))
    else:
        check_base(run.settings, model.config, run.source or "")
        run = replace(run, settings=renewed(run.settings, encoder))
    model = _with_head(model, run, lora)
    widen_trained(model)
    pad_token_id = tokenizer.pad_token_id or 0
    settings, notices = settle_layout(model, run.settings, sets[0].tokens, pad_token_id, required=run.layout_required)
    for notice in (*run.notices, *notices):
        logger.info(notice)
    trainer = McqTrainer(
        model,
        training,
        replace(run, settings=settings),
        pad_token_id=pad_token_id,
        train_set=sets[0],
        eval_set=sets[1] if evaluate else None,
        processing_class=tokenizer,
        callbacks=[keeper],
    )
    trainer.train()
    trainer.save_model()
    trainer.finish_training()
    return load_scorer(
        run.output_dir,
        base_model=run.model if lora is not None else None,
        allow_unknown_tokens=run.data.allow_unknown_tokens,
    )


def _encoder(run: McqRun, tokenizer: Any, config: Any, template: Template | None) -> PromptEncoder:
    """The encoder of a fresh head, or the one that a stored head was trained with."""
    if not run.new:
        return stored_encoder(run.settings, tokenizer, config, cutoff_len=run.cutoff_len, where=run.source or "")
    template = template or (template_of(tokenizer) if run.settings.kind == "causal" else None)
    return make_encoder(run.settings, tokenizer, config, cutoff_len=run.cutoff_len, template=template)


def _encoded(
    run: McqRun, encoder: PromptEncoder, questions: Sequence[Question], evaluate: Sequence[Question], *, seed: int
) -> tuple[QuestionSet, QuestionSet]:
    """The questions to train on and to evaluate, with their tokens; what the user should know is logged."""
    for part in (questions, evaluate):
        for line in check_tokenizer(encoder.tokenizer, part, allow=run.data.allow_unknown_tokens):
            logger.warning(line)
    train = QuestionSet(questions, encoder, shuffle_seed=seed if run.data.shuffle_options else None)
    limit, drop = encoder.cutoff_len, run.data.drop_long
    return (
        _reported(train.fitted(limit, training=True, drop=drop)),
        _reported(QuestionSet(evaluate, encoder).fitted(limit, training=False, drop=drop)),
    )


def _reported(fitted: tuple[QuestionSet, tuple[str, ...]]) -> QuestionSet:
    questions, lines = fitted
    for line in lines:
        logger.warning(line)
    return questions


def _with_head(model: Any, run: McqRun, lora: Any) -> Any:
    """The model with its head, trained weights if there are any, and its adapters."""
    attach_head(model, run.settings)
    stored = read_settings(run.model)
    if stored is not None and HEADS[stored.head].pools:
        load_head(model, run.model, grown=stored.head != run.settings.head)
    freeze_pooler(model)
    if lora is not None:
        from peft import get_peft_model

        refuse_embeddings(lora, embeddings_of(model))
        lora = copy.copy(lora)
        lora.modules_to_save = [*(lora.modules_to_save or []), *([HEAD] if HEADS[run.settings.head].pools else [])]
        model = get_peft_model(model, lora)
        model.peft_config["default"].base_model_name_or_path = stored_path(run.model)
    if run.objective.dropout is not None and not set_dropout(model, run.objective.dropout):
        raise FieldError("dropout", run.objective.dropout, "this model has no dropout that could be set; leave it out")
    run.objective.require_dropout(has_dropout(model), lora=lora is not None)
    return model
