"""Tokenizer, prompt and model of an mcq run, through upstream where it can load them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from llmtuner.data.question import MAX_OPTIONS, MIN_OPTIONS
from llmtuner.data.tokens.form import Encoder, make_encoder, store_form
from llmtuner.data.tokens.option import OptionTokens
from llmtuner.errors import UserError
from llmtuner.mcq.plan import Plan, plan_run
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.settings import CONFIG_NAME, FLAGS, McqSettings
from patches.option_head import WANTED

logger = logging.getLogger("llmtuner.mcq")
PACKAGES = ("torch", "transformers", "peft", "llamafactory", "llmtuner-science")


@dataclass(frozen=True, slots=True)
class Reader:
    """How questions become tokens for a model."""

    tokenizer: Any
    encoder: Encoder
    template_name: str | None

    @property
    def pad_token_id(self) -> int:
        """What fills rows up; masked in every layout."""
        return self.tokenizer.pad_token_id or 0


def make_plan(model_args: Any, finetuning_args: Any, *, training: bool) -> tuple[Plan, Any]:
    """The run's plan and the model's configuration.

    Raises:
        UserError: flags that contradict each other, the model or what is stored with it.
    """
    from llamafactory.model.loader import load_config

    config = load_config(model_args)
    plan = plan_run(
        model_args.model_name_or_path,
        model_args.adapter_name_or_path or [],
        {name: getattr(finetuning_args, name) for name in FLAGS if getattr(finetuning_args, name) is not None},
        training=training,
        new_adapter=finetuning_args.create_new_adapter,
        config=config.to_dict(),
    )
    if len(plan.adapters) > 1 or plan.merge_all:
        _refuse_merging(model_args)
    model_args.adapter_name_or_path = list(plan.adapters) or None
    finetuning_args.create_new_adapter = plan.merge_all
    return plan, config


def _refuse_merging(model_args: Any) -> None:
    from transformers.integrations import is_deepspeed_zero3_enabled

    reason = "--quantization_bit" if model_args.quantization_bit is not None else ""
    reason = "DeepSpeed ZeRO-3" if is_deepspeed_zero3_enabled() else reason
    if reason:
        raise UserError(
            f"an adapter of --stage sft cannot be merged under {reason}; merge it once without (llamafactory-cli "
            "export) and pass the merged model as --model_name_or_path"
        )


def make_reader(plan: Plan, config: Any, model_args: Any, data_args: Any) -> Reader:
    """The tokenizer, and the encoder of prompts: stored with the model, or made with the template."""
    from llamafactory.data import get_template_and_fix_tokenizer
    from llamafactory.model import load_tokenizer

    from llmtuner.mcq.model import position_limit

    settings = plan.settings
    pairs, joint = settings.kind == "encoder", settings.layout == "joint"
    template, limit = None, data_args.cutoff_len
    if limit < 1:
        raise UserError(f"--cutoff_len {limit}: a number of tokens is needed")
    tokenizer = load_tokenizer(model_args)["tokenizer"]
    if pairs:
        limit = min(limit, position_limit(config, tokenizer))
        if limit < data_args.cutoff_len:
            logger.info("cutoff_len: %d tokens, the most that this encoder reads", limit)
    else:
        template = get_template_and_fix_tokenizer(tokenizer, data_args)
    encoder = make_encoder(
        tokenizer, pairs=pairs, joint=joint, cutoff_len=limit, template=template, stored=settings.prompt
    )
    return Reader(tokenizer, encoder, None if pairs else data_args.template)


def complete(settings: McqSettings, reader: Reader, config: Any) -> McqSettings:
    """Settings as they are saved: with the prompt's form, the base model's shape, and versions."""
    from llmtuner.mcq.checkpoint import describe_base

    # A letter head takes any number of options, a joint linear head its own.
    counts = range(MIN_OPTIONS, MAX_OPTIONS + 1) if settings.num_options is None else (settings.num_options,)
    form = store_form(reader.encoder, reader.template_name, counts)
    return renewed(settings, reader).with_(prompt=form, base=describe_base(config))


def renewed(settings: McqSettings, reader: Reader) -> McqSettings:
    """Settings of a training that goes on: its questions may be cut elsewhere, and other packages be at work."""
    return settings.with_(cutoff_len=reader.encoder.cutoff_len, versions=_versions())


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def load(plan: Plan, reader: Reader, config: Any, model_args: Any, finetuning_args: Any, *, training: bool) -> Any:
    """The model with its head.

    Raises:
        UserError: weights or adapters do not fit.
    """
    from llamafactory.model import load_model

    from llmtuner.mcq.checkpoint import check_base
    from patches.mcq_stage.encoder import load_encoder

    check_base(plan.settings, config, plan.source or "")
    if plan.source is None:
        _refuse_forgotten_head(model_args.model_name_or_path, *plan.adapters)
    setattr(finetuning_args, WANTED, plan.settings)
    try:
        if plan.settings.kind == "encoder":
            return load_encoder(model_args, finetuning_args, plan.settings, training)
        model = load_model(reader.tokenizer, model_args, finetuning_args, training)
    except ValueError as error:
        if "arget module" not in str(error):  # peft's way to say that it knows no module by such a name
            raise
        raise UserError(f"--lora_target does not fit this model: {error}") from error
    except RuntimeError as error:
        if "size mismatch" not in str(error):
            raise
        adapters = ", ".join(plan.adapters)
        first = next(line.strip() for line in str(error).splitlines() if "size mismatch" in line)
        raise UserError(f"{adapters} does not fit {model_args.model_name_or_path}: {first}") from error
    _check_vocabulary(model, reader)
    return model


def _refuse_forgotten_head(*folders: str) -> None:
    """Refuse weights with a head that nothing is said of: a fresh one would take its place in silence."""
    from llmtuner.mcq.checkpoint import head_tensors

    for folder in folders:
        if Path(folder).is_dir() and head_tensors(folder):
            raise UserError(
                f"{folder}: its weights have a trained head, and {CONFIG_NAME}, which says what it is, is missing; "
                "copy that file beside them"
            )


def _check_vocabulary(model: Any, reader: Reader) -> None:
    """Refuse a template whose tokens the model has no embeddings for."""
    from llmtuner.mcq.model import unwrap

    rows = unwrap(model).get_input_embeddings().num_embeddings
    largest = max(
        (part for skeleton in reader.encoder.skeletons.values() for part in skeleton.prompt if isinstance(part, int)),
        default=0,
    )
    if largest >= rows:
        raise UserError(
            f"--template {reader.template_name} uses token {largest}, and this model has embeddings for {rows} tokens; "
            "add --resize_vocab true, or name the template that the model was made for"
        )


def announce_head(model: Any, plan: Plan) -> None:
    """Say what is trained in full beside the backbone, how large it is, and where it is from."""
    head = _head_of(model)
    if head is not None:
        origin = "fresh" if plan.source is None else f"from {plan.source}"
        logger.info("head: %s, %s parameters, %s", plan.settings.head, f"{head.count():,}", origin)


def _head_of(model: Any) -> Any:
    from llmtuner.mcq.model import HEAD, unwrap

    head = getattr(unwrap(model), HEAD, None)
    return getattr(head, "original_module", head)  # peft's wrapper keeps the fresh one beside


def check_resumed_head(model: Any, checkpoint: str) -> None:
    """Refuse a checkpoint without the head, which would go on as a fresh one.

    Raises:
        UserError: it is missing, or of another shape.
    """
    from llmtuner.mcq.checkpoint import check_head

    head = _head_of(model)
    if head is not None and any(Path(checkpoint).glob("*.safetensors")):  # sharded ones are in a format of their own
        check_head(checkpoint, head)


def settle_layout(model: Any, plan: Plan, reader: Reader, questions: QuestionSet, *, asked: bool) -> McqSettings:
    """Keep shared_prefix where the model can take it, shown on the first questions; else go on with per_option.

    Args:
        asked: whether the layout was named by the user: then a model that cannot take it stops the run.

    Raises:
        UserError: it was named, and the model cannot.
    """
    from llmtuner.mcq.attention import keep_gradients_finite
    from llmtuner.mcq.model import unwrap

    settings = _settled_layout(model, plan, reader, questions, asked=asked)
    keep_gradients_finite(unwrap(model))
    return settings


def _settled_layout(model: Any, plan: Plan, reader: Reader, questions: QuestionSet, *, asked: bool) -> McqSettings:
    from llmtuner.mcq.attention import choose_attention, keep_soft_cap
    from llmtuner.mcq.check import CHECKED, check_packing
    from llmtuner.mcq.model import unwrap

    settings = plan.settings
    if settings.kind == "encoder":
        return settings
    packs = settings.layout == "shared_prefix"
    for notice in (keep_soft_cap(unwrap(model)), choose_attention(unwrap(model)) if packs else ""):
        if notice:
            logger.info(notice)
    if not packs:
        return settings
    if _is_sharded(model):
        logger.info("layout: shared_prefix, not compared with per_option, since the model's weights are sharded")
        return settings
    first = [tokens for tokens in questions.tokens[:CHECKED] if isinstance(tokens, OptionTokens)]
    check = check_packing(model, first, settings.pooling, reader.pad_token_id)
    if check.notice:
        logger.info(check.notice)
    if not check.defect:
        return settings
    name = unwrap(model).config.model_type
    if asked:
        raise UserError(
            f"--mcq_layout shared_prefix: {name} cannot take it: {check.defect}; leave the flag out (per_option)"
        )
    logger.warning("layout: per_option, since %s cannot take shared_prefix: %s", name, check.defect)
    return settings.with_(layout="per_option")


def _is_sharded(model: Any) -> bool:
    """Whether no process has the weights alone, so that it can compute nothing before the training has begun."""
    from transformers.integrations import is_deepspeed_zero3_enabled
    from transformers.integrations.fsdp import is_fsdp_enabled

    return is_deepspeed_zero3_enabled() or is_fsdp_enabled() or any(p.is_meta for p in model.parameters())
