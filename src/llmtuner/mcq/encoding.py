"""The encoder of prompts that settings need, and settings completed with the prompt's form and the base model."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from llmtuner.data.question import MAX_OPTIONS, MIN_OPTIONS
from llmtuner.data.tokens.encoder import ENCODERS, PromptEncoder
from llmtuner.data.tokens.fields import Template
from llmtuner.mcq.checkpoint import describe_base
from llmtuner.mcq.layouts import layout_of
from llmtuner.mcq.model import position_limit
from llmtuner.mcq.settings import McqSettings

PACKAGES = ("torch", "transformers", "peft", "llamafactory", "llmtuner-science")


def make_encoder(
    settings: McqSettings, tokenizer: Any, config: Any, *, cutoff_len: int, template: Template | None = None
) -> PromptEncoder:
    """The encoder of questions, of the stored form of prompts as far as there is one.

    Args:
        config: the model's; an encoder has positions for so many tokens only.
        cutoff_len: tokens of a question at most.
        template: makes the forms that are not stored; encoders need none.
    """
    limit = min(cutoff_len, position_limit(config, tokenizer)) if settings.kind == "encoder" else cutoff_len
    encoder = ENCODERS[layout_of(settings.layout).text, settings.kind]
    return encoder.from_json(tokenizer, settings.prompt, cutoff_len=limit, template=template)


def complete(settings: McqSettings, encoder: PromptEncoder, config: Any, template: str | None) -> McqSettings:
    """Settings of a fresh head as they are saved.

    Args:
        template: the template's name, for people.
    """
    # A letter head takes any number of options, a joint linear head its own.
    counts = range(MIN_OPTIONS, MAX_OPTIONS + 1) if settings.num_options is None else (settings.num_options,)
    return renewed(settings, encoder).with_(prompt=encoder.to_json(template, counts), base=describe_base(config))


def renewed(settings: McqSettings, encoder: PromptEncoder) -> McqSettings:
    """Settings of a training that continues: its cut-off and packages may differ."""
    return settings.with_(cutoff_len=encoder.cutoff_len, versions=_versions())


def _versions() -> dict[str, str]:
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed
