"""Tokenizer, prompt and model of an mcq run, loaded through upstream where possible."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.data.tokens.encoder import PromptEncoder
from llmtuner.errors import UserError
from llmtuner.mcq.prompts import is_plain
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.settings import CONFIG_NAME
from patches.mcq_stage.arguments import StageArguments
from patches.option_head import head_of

logger = logging.getLogger("llmtuner.mcq")


@dataclass(frozen=True, slots=True)
class Reader:
    """How questions become tokens for a model."""

    tokenizer: Any
    encoder: PromptEncoder

    @property
    def pad_token_id(self) -> int:
        """The padding token; masked in every layout."""
        return self.tokenizer.pad_token_id or 0


def make_reader(run: McqRun, config: Any, arguments: StageArguments) -> Reader:
    """The tokenizer and the prompt encoder; the latter is stored with the model or made from the template."""
    from llamafactory.data import get_template_and_fix_tokenizer
    from llamafactory.model import load_tokenizer

    from llmtuner.mcq.encoding import make_encoder, stored_encoder

    tokenizer = load_tokenizer(arguments.model)["tokenizer"]
    template = None
    asks_template = run.new or run.template is not None  # a stored prompt is complete without one
    if run.settings.kind == "causal" and not is_plain(run.settings.prompt) and asks_template:
        template = get_template_and_fix_tokenizer(tokenizer, arguments.data)
    elif tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    settings, limit = run.settings, run.cutoff_len
    if run.new:
        encoder = make_encoder(settings, tokenizer, config, cutoff_len=limit, template=template)
    else:
        encoder = stored_encoder(settings, tokenizer, config, cutoff_len=limit, where=run.source or "")
    if encoder.cutoff_len < run.cutoff_len:
        logger.info("cutoff_len: %d tokens, the most that this model has positions for", encoder.cutoff_len)
    return Reader(tokenizer, encoder)


def load(run: McqRun, reader: Reader, config: Any, arguments: StageArguments) -> Any:
    """Load the model with its head.

    Raises:
        UserError: the weights or adapters do not fit.
    """
    from llamafactory.model import load_model

    from llmtuner.mcq.checkpoint import fitting
    from llmtuner.mcq.model import check_vocabulary, require_language_model
    from patches.mcq_stage.encoder import load_encoder

    if run.settings.kind == "causal":
        require_language_model(config)
    if run.new and not arguments.model.resize_vocab:
        check_vocabulary(config, reader.encoder.largest_id, run.template)
    if run.new:
        _refuse_forgotten_head(run.model, *run.adapters)
    try:
        if run.settings.kind == "encoder":
            with fitting(run.adapters, run.model):
                return load_encoder(arguments, run)
        with head_of(run), fitting(run.adapters, run.model):
            model = load_model(reader.tokenizer, arguments.model, arguments.finetuning, run.training)
    except ValueError as error:
        if "arget module" not in str(error):  # peft found no module with this name
            raise
        raise UserError(f"--lora_target does not fit this model: {error}") from error
    _check_vocabulary(model, reader, run)
    return model


def _refuse_forgotten_head(*folders: str) -> None:
    """Refuse weights with a head that no settings describe: a fresh head would silently replace it."""
    from llmtuner.mcq.checkpoint import head_tensors

    for folder in folders:
        if Path(folder).is_dir() and head_tensors(folder):
            raise UserError(
                f"{folder}: its weights have a trained head, and {CONFIG_NAME}, which describes it, is missing; copy "
                "that file beside them"
            )


def _check_vocabulary(model: Any, reader: Reader, run: McqRun) -> None:
    """Refuse a template with tokens that the model has no embeddings for."""
    from llmtuner.mcq.unwrap import unwrap

    rows = unwrap(model).get_input_embeddings().num_embeddings
    largest = reader.encoder.largest_id
    if largest >= rows:
        raise UserError(
            f"--template {run.template} uses token {largest}, and this model has embeddings for {rows} tokens; add "
            "--resize_vocab true, or name the template that the model was made for"
        )


def announce_head(model: Any, run: McqRun) -> None:
    """Report the head that is trained in full beside the backbone: its size and where it comes from."""
    head = _head_of(model)
    if head is not None:
        origin = "fresh" if run.new else f"from {run.source}"
        logger.info("head: %s, %s parameters, %s", run.settings.head, f"{head.count():,}", origin)


def _head_of(model: Any) -> Any:
    from llmtuner.mcq.model import HEAD
    from llmtuner.mcq.unwrap import unwrap

    head = getattr(unwrap(model), HEAD, None)
    return getattr(head, "original_module", head)  # peft's wrapper holds the original, too


def check_resumed_head(model: Any, checkpoint: str) -> None:
    """Refuse a checkpoint without the head: the training would resume with a fresh one.

    Raises:
        UserError: the head is missing or has another shape.
    """
    from llmtuner.mcq.checkpoint import check_head
    from llmtuner.runs.weights import weight_files

    head = _head_of(model)
    if head is not None and weight_files(checkpoint):  # sharded checkpoints have another format
        check_head(checkpoint, head)


def is_sharded(model: Any) -> bool:
    """Whether weights are sharded across processes, so that no process can compute before the training has begun."""
    from transformers.integrations import is_deepspeed_zero3_enabled
    from transformers.integrations.fsdp import is_fsdp_enabled

    return is_deepspeed_zero3_enabled() or is_fsdp_enabled() or any(p.is_meta for p in model.parameters())
