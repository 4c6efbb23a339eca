"""The poolings: which token states are averaged into one vector per option."""

from __future__ import annotations

from dataclasses import dataclass

from llmtuner.spec.entry import KINDS, Entry, table

AUTO = "auto"  # chosen by the layout and the kind of model
NONE = "none"  # for heads that pool nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling(Entry):
    """A pooling.

    Args:
        kinds: the kinds of models for which the vector can tell options apart.
        texts: the layouts whose sequences have such tokens: one sequence per "option", or one "joint" prompt.
    """

    kinds: tuple[str, ...] = KINDS
    texts: tuple[str, ...] = ("option",)


POOLINGS = table(
    Pooling(name="last", code="llmtuner.mcq.pooling:last", help="the last token", texts=("option", "joint")),
    Pooling(
        name="first",
        code="llmtuner.mcq.pooling:first",
        help="the first token (encoders only)",
        # In a causal model this token has seen no option: its state is the same for all options.
        kinds=("encoder",),
    ),
    Pooling(
        name="mean", code="llmtuner.mcq.pooling:mean", help="the mean of the whole sequence", texts=("option", "joint")
    ),
    Pooling(name="option", code="llmtuner.mcq.pooling:own", help="the mean of the option's own tokens"),
)
