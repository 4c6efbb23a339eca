"""Makes the prompt encoder that settings need, and completes settings with the prompt's form and the base model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmtuner.data.question import MAX_OPTIONS, MIN_OPTIONS, Question
from llmtuner.data.tokens.encoder import ENCODERS, PromptEncoder
from llmtuner.data.tokens.fields import Template
from llmtuner.data.tokens.option import OptionEncoder
from llmtuner.data.tokens.stored import require_form
from llmtuner.errors import DataError, FieldError
from llmtuner.mcq.checkpoint import describe_base
from llmtuner.mcq.kinds import has_last_position
from llmtuner.mcq.layouts import layout_of
from llmtuner.mcq.model import position_limit, positions_of
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.settings import CONFIG_NAME, McqSettings
from llmtuner.runs.versions import installed_versions
from llmtuner.spec.heads import HEADS, OPTION_TOKENS


def make_encoder(
    settings: McqSettings, tokenizer: Any, config: Any, *, cutoff_len: int, template: Template | None = None
) -> PromptEncoder:
    """The encoder of questions; it uses the stored form of the prompts if there is one.

    Args:
        config: the model's; it limits the positions of encoders, and of causal models with a table of them.
        cutoff_len: the most tokens of a question.
        template: makes the forms that are not stored; encoders need none.
    """
    limit = cutoff_len
    if settings.kind == "encoder":
        limit = min(cutoff_len, position_limit(config, tokenizer))
    elif has_last_position(config):
        limit = min(cutoff_len, positions_of(config))
    kind = ENCODERS[layout_of(settings.layout).text, settings.kind]
    encoder = kind.from_json(tokenizer, settings.prompt, cutoff_len=limit, template=template)
    encoder.positions = positions_of(config) if has_last_position(config) else None
    if isinstance(encoder, OptionEncoder):
        encoder.likelihood = HEADS[settings.head].reads == OPTION_TOKENS
    return encoder


def stored_encoder(settings: McqSettings, tokenizer: Any, config: Any, *, cutoff_len: int, where: str) -> PromptEncoder:
    """The encoder of a stored model, for exactly the prompts that it was trained with.

    Args:
        where: its folder.

    Raises:
        FieldError: the prompt's form, or the number of options that a joint head scores, is missing.
    """
    file = str(Path(where) / CONFIG_NAME)
    text = layout_of(settings.layout).text
    require_form(settings.prompt, text, file)
    if text == "joint" and HEADS[settings.head].pools and settings.num_options is None:
        raise FieldError("num_options", None, f"{file} has none, and a joint head scores one fixed number of options")
    return make_encoder(settings, tokenizer, config, cutoff_len=cutoff_len)


def with_options_counted(run: McqRun, questions: Sequence[Question]) -> McqRun:
    """A joint classifier scores a fixed number of options: take it from the questions, or check them against it.

    Raises:
        DataError: a question has a different number of options.
    """
    settings = run.settings
    if layout_of(settings.layout).text != "joint" or not HEADS[settings.head].pools or not questions:
        return run
    wanted = len(questions[0].options) if run.new else settings.num_options
    for question in questions:
        if len(question.options) != wanted:
            first = f"{questions[0].where} has {wanted}" if run.new else f"this head was trained for {wanted}"
            raise DataError(
                f"{question.where}: id {question.shown_id}: {len(question.options)} options, and {first}; a linear "
                "head on a joint prompt scores one fixed number: use `layout` shared_prefix, or `head` letter"
            )
    return run.with_settings(num_options=wanted)


def complete(settings: McqSettings, encoder: PromptEncoder, config: Any, template: str | None) -> McqSettings:
    """Settings of a fresh head, as they are saved.

    Args:
        template: the template's name, for people.
    """
    # A letter head takes any number of options, a joint linear head only its own.
    counts = range(MIN_OPTIONS, MAX_OPTIONS + 1) if settings.num_options is None else (settings.num_options,)
    return renewed(settings, encoder).with_(prompt=encoder.to_json(template, counts), base=describe_base(config))


def renewed(settings: McqSettings, encoder: PromptEncoder) -> McqSettings:
    """Settings of a training that continues: its cut-off and package versions may differ."""
    return settings.with_(cutoff_len=encoder.cutoff_len, versions=installed_versions())
