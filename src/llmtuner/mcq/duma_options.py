"""The sizes of the heads duma and cduma, from given values and the model's configuration. Light: no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from llmtuner.errors import FieldError
from llmtuner.mcq.fields import check_field
from llmtuner.spec.flags import DUMA_PASSAGES, DUMA_PRESETS

WIDTH, HEAD_WIDTH = 512, 64  # of the bottleneck, and of one of its attention heads
# Names that model families use for hidden width and number of attention heads.
_WIDTHS = ("hidden_size", "n_embd", "n_embed", "d_model", "dim", "emb_dim")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_DROPOUTS = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop")


@dataclass(frozen=True, slots=True)
class DumaOptions:
    """Everything that defines a co-attention head.

    Args:
        preset: "bottleneck" (ours), or "paper" (the block of DUMA's official code).
        width: of queries, keys and values.
        heads: of attention; divides the width.
        layers: how many times both directions are run.
        share: whether both directions share attention weights; they always share the narrowing layer and the norms.
        passage: what the answer is read against: "context_question" against the option's tokens, or the "context"
            alone against question and option together (if there is no context: the question against the option).
        dropout: of the attention weights.

    Raises:
        FieldError: an invalid value.
    """

    preset: str
    width: int
    heads: int
    layers: int
    share: bool
    passage: str
    dropout: float

    def __post_init__(self) -> None:
        for name in GIVEN:
            check_field(f"duma.{name}", getattr(self, name))
        if self.width % self.heads:
            raise FieldError(
                "duma.heads",
                self.heads,
                f"it does not divide the width {self.width}; {_fitting_heads(self.width)} does",
            )
        check_field("dropout", self.dropout)


GIVEN = tuple(field.name for field in fields(DumaOptions) if field.name != "dropout")  # the options that can be given


def resolve_duma(given: Mapping[str, Any], config: Mapping[str, Any]) -> DumaOptions:
    """The given options; the rest comes from the preset and the model.

    Args:
        given: values by the options' names.
        config: the model's config.json.

    Raises:
        FieldError: an invalid value.
    """
    text = config.get("text_config") or config
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        check_field(f"duma.{name}", value)
    hidden = _of_model(text, _WIDTHS)
    paper = given.get("preset") == "paper"
    for name in ("width", "share") if paper else ():
        if name in given:
            raise FieldError(f"duma.{name}", given[name], "the preset paper fixes it; leave it out")
    width = hidden if paper else given.get("width", min(WIDTH, hidden))
    heads = given.get("heads", _of_model(text, _HEADS) if paper else _fitting_heads(width))
    if width % heads and "heads" not in given:
        raise FieldError(
            "duma.heads",
            None,
            f"the preset paper uses the model's {heads} attention heads, which do not divide its width {width}; pass "
            f"{_fitting_heads(width)}",
        )
    dropout = next((float(text[name]) for name in _DROPOUTS if text.get(name)), 0.0) if paper else 0.0
    return DumaOptions(
        preset=given.get("preset", DUMA_PRESETS[0]),
        width=width,
        heads=heads,
        layers=given.get("layers", 1),
        share=given.get("share", True),
        passage=given.get("passage", DUMA_PASSAGES[1 if paper else 0]),
        dropout=dropout,
    )


def _of_model(config: Mapping[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        if config.get(name):
            return int(config[name])
    raise FieldError("head", None, f"the model's config.json has no {names[0]}, which a co-attention head needs")


def _fitting_heads(width: int) -> int:
    """The largest number of heads that divides a width into heads of at least 64."""
    return next(heads for heads in range(max(1, width // HEAD_WIDTH), 0, -1) if width % heads == 0)


def check_stored(given: Mapping[str, Any], stored: DumaOptions, hidden: int | None, where: str) -> None:
    """Refuse values that would make another head than the stored one.

    Args:
        hidden: the model's hidden width, if known.
        where: the file that the stored options come from.

    Raises:
        FieldError: with both values, and both shapes where they differ.
    """
    for name in GIVEN:
        value, stored_value = given.get(name), getattr(stored, name)
        if value is None or value == stored_value:
            continue
        check_field(f"duma.{name}", value)
        shapes = ""
        wanted = value if name == "width" else hidden if value == "paper" else min(WIDTH, hidden or WIDTH)
        if hidden and name in ("preset", "width") and wanted != stored.width:
            shapes = f": its attention is {stored.width} x {stored.width}, and this would be {wanted} x {wanted}"
        raise FieldError(f"duma.{name}", value, f"contradicts {where}, which says {stored_value}{shapes}; leave it out")
