"""The measures of the heads duma and cduma: from flags and the model's configuration. Light, as the settings are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from llmtuner.errors import UserError
from llmtuner.suggest import did_you_mean

DUMA_HEADS = ("duma", "cduma")
PRESETS = ("bottleneck", "paper")
PASSAGES = ("context_question", "context")
WIDTH, HEAD_WIDTH = 512, 64  # of the bottleneck, and of one of its attention heads
_YES, _NO = {"true", "yes", "t", "y", "1"}, {"false", "no", "f", "n", "0"}  # as the argument parser takes them
# What families call the width of their states and the number of their attention heads.
_WIDTHS = ("hidden_size", "n_embd", "n_embed", "d_model", "dim", "emb_dim")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_DROPOUTS = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop")


@dataclass(frozen=True, slots=True)
class DumaOptions:
    """Everything that gives a co-attention head its shape.

    Args:
        preset: "bottleneck" (ours), or "paper" (the block of DUMA's official code).
        width: of queries, keys and values.
        heads: of attention; divides the width.
        layers: how often both directions are run.
        share: whether both directions have the same attention weights; the narrowing layer and the norms always do.
        passage: what the answer is read against: "context_question" against the option's tokens, or the "context"
            alone against question and option together (of a question without context: the question against the option).
        dropout: of the attention weights.

    Raises:
        ValueError: a value that no head can have.
    """

    preset: str
    width: int
    heads: int
    layers: int
    share: bool
    passage: str
    dropout: float

    def __post_init__(self) -> None:
        if self.preset not in PRESETS or self.passage not in PASSAGES:
            raise ValueError(f"duma: preset {self.preset!r} with passage {self.passage!r}")
        counts = (self.width, self.heads, self.layers)
        if any(type(count) is not int or count < 1 for count in counts) or self.width % self.heads:
            raise ValueError(f"duma: width {self.width!r}, heads {self.heads!r}, layers {self.layers!r}")
        if type(self.share) is not bool or not 0 <= self.dropout < 1:
            raise ValueError(f"duma: share {self.share!r}, dropout {self.dropout!r}")


FLAGS = tuple(f"mcq_duma_{name}" for name in ("preset", "width", "heads", "layers", "share", "passage"))


def resolve_duma(given: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The options from flags as far as they are given; the rest from the preset and the model.

    Args:
        given: values by flag name, as words or as what they mean.
        config: the model's config.json.

    Raises:
        UserError: a value that is not possible.
    """
    text = config.get("text_config") or config
    hidden = _of_model(text, _WIDTHS)
    preset = _one_of("preset", given, PRESETS)
    paper = preset == "paper"
    if paper:
        for name in ("width", "share"):
            if given.get(f"mcq_duma_{name}") is not None:
                raise UserError(
                    f"--mcq_duma_{name} does not go with --mcq_duma_preset paper, which fixes it; leave it out"
                )
    width = hidden if paper else _number("width", given, min(WIDTH, hidden))
    heads = _number("heads", given, _of_model(text, _HEADS) if paper else _fitting_heads(width))
    if width % heads and paper and given.get("mcq_duma_heads") is None:
        raise UserError(
            f"--mcq_duma_preset paper: the model's {heads} attention heads do not divide its width {width}; add "
            f"--mcq_duma_heads {_fitting_heads(width)}"
        )
    if width % heads:
        raise UserError(f"--mcq_duma_heads {heads} does not divide the width {width}; {_fitting_heads(width)} does")
    passage = _one_of("passage", given, PASSAGES, "context" if paper else "context_question")
    dropout = next((float(text[name]) for name in _DROPOUTS if text.get(name)), 0.0) if paper else 0.0
    share = True if paper else _truth("share", given, True)
    return asdict(DumaOptions(preset, width, heads, _number("layers", given, 1), share, passage, dropout))


def _of_model(config: Mapping[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        if config.get(name):
            return int(config[name])
    raise UserError(f"--mcq_head: the model's config.json has no {names[0]}, which a co-attention head follows")


def _fitting_heads(width: int) -> int:
    """The most heads, of 64 or wider, that divide a width."""
    return next(heads for heads in range(max(1, width // HEAD_WIDTH), 0, -1) if width % heads == 0)


def _one_of(name: str, given: Mapping[str, Any], known: tuple[str, ...], default: str | None = None) -> str:
    value = given.get(f"mcq_duma_{name}")
    if value is None:
        return default or known[0]
    if value not in known:
        suggestion = did_you_mean(str(value), known)
        raise UserError(f"--mcq_duma_{name} {value}: there is no such one; known: {', '.join(known)}.{suggestion}")
    return str(value)


def _number(name: str, given: Mapping[str, Any], default: int) -> int:
    value = given.get(f"mcq_duma_{name}")
    if value is None:
        return default
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number < 1:
        raise UserError(f"--mcq_duma_{name} {value}: a whole number of at least 1 is needed")
    return number


def _truth(name: str, given: Mapping[str, Any], default: bool) -> bool:
    value = given.get(f"mcq_duma_{name}")
    if value is None or isinstance(value, bool):
        return default if value is None else value
    word = str(value).casefold()
    if word not in _YES | _NO:
        raise UserError(f"--mcq_duma_{name} {value}: true or false is needed")
    return word in _YES


def check_stored(given: Mapping[str, Any], stored: Mapping[str, Any], hidden: int | None, where: str) -> None:
    """Refuse flags that would make another head than the stored one.

    Args:
        hidden: width of the model's states, where it is known.
        where: the file that the stored options are from.

    Raises:
        UserError: with both values, and both shapes where they differ.
    """
    for flag in FLAGS:
        name = flag.removeprefix("mcq_duma_")
        value, kept = _read(name, given), stored[name]
        if value is None or value == kept:
            continue
        shapes = ""
        wanted = value if name == "width" else hidden if value == "paper" else min(WIDTH, hidden or WIDTH)
        if hidden and name in ("preset", "width") and wanted != stored["width"]:
            shapes = (
                f": its attention has matrices of {stored['width']} x {stored['width']}, and this would be "
                f"{wanted} x {wanted}"
            )
        raise UserError(f"--{flag} {given[flag]} contradicts {where}, which says {kept}{shapes}; leave the flag out")


def _read(name: str, given: Mapping[str, Any]) -> Any:
    """A flag's value as what it means; None where it is not given."""
    if given.get(f"mcq_duma_{name}") is None:
        return None
    if name in ("preset", "passage"):
        return _one_of(name, given, PRESETS if name == "preset" else PASSAGES)
    return _truth(name, given, True) if name == "share" else _number(name, given, 1)
