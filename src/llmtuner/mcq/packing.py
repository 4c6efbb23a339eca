"""Decides which layout a loaded model takes: packed rows if it can, one row per option otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmtuner.data.tokens.option import OptionTokens
from llmtuner.errors import FieldError
from llmtuner.mcq.attention import choose_attention, keep_soft_cap
from llmtuner.mcq.check import CHECKED, check_packing, known_defect
from llmtuner.mcq.layouts import layout_of
from llmtuner.mcq.questions import Tokens
from llmtuner.mcq.settings import McqSettings
from llmtuner.mcq.unwrap import unwrap
from llmtuner.spec.heads import HEADS, OPTION_TOKENS

FALLBACK = "per_option"


def settle_layout(
    model: Any,
    settings: McqSettings,
    questions: Sequence[Tokens],
    pad_token_id: int,
    *,
    required: bool = False,
    sharded: bool = False,
) -> tuple[McqSettings, tuple[str, ...]]:
    """Set the attention that the layout needs, and compare packed rows with one row per option on the first questions.

    Args:
        model: loaded, with its head attached.
        questions: the first few, as tokens.
        required: whether the layout was given by name; then it is an error if the model cannot take it.
        sharded: whether the weights are split over processes, so that nothing can be computed before training starts.

    Returns:
        the settings with the layout that the model takes, and lines for the user

    Raises:
        FieldError: the layout is required, and the model cannot take it; the head does not take sharded weights.
    """
    if settings.kind == "encoder":
        return settings, ()
    if sharded and HEADS[settings.head].reads == OPTION_TOKENS:
        raise FieldError(
            "head",
            settings.head,
            "it does not take weights that are split over processes (FSDP, ZeRO-3), since these would compute other "
            "numbers of chunks of logits; use DDP or ZeRO-2",
        )
    base = unwrap(model)
    notices = [keep_soft_cap(base)]
    if not layout_of(settings.layout).packed:
        return settings, _lines(notices)
    first = [tokens for tokens in questions[:CHECKED] if isinstance(tokens, OptionTokens)]
    defect = known_defect(base, first)
    if not defect:
        notices.append(choose_attention(base))
        if sharded:
            line = f"layout: {settings.layout}, not compared with {FALLBACK}, because the model's weights are sharded"
            return settings, _lines([*notices, line])
        # A head that pools nothing reads tokens of the option's text and the one before: every layout computes them.
        check = check_packing(model, first, settings.pooling if HEADS[settings.head].pools else "option", pad_token_id)
        notices.append(check.notice)
        defect = check.defect
    if not defect:
        return settings, _lines(notices)
    name = base.config.model_type
    if required:
        raise FieldError("layout", settings.layout, f"{name} cannot take it: {defect}; leave it out to use {FALLBACK}")
    notices.append(f"layout: {FALLBACK}, because {name} cannot take {settings.layout}: {defect}")
    return settings.with_(layout=FALLBACK), _lines(notices)


def _lines(notices: Sequence[str]) -> tuple[str, ...]:
    return tuple(notice for notice in notices if notice)
