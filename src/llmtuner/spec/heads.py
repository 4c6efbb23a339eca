"""The heads: they turn hidden states, or the language model's own logits, into one score per option."""

from __future__ import annotations

from dataclasses import dataclass

from llmtuner.spec.entry import KINDS, Entry, table
from llmtuner.spec.layouts import LAYOUTS

# What a head reads of a batch: pooled states, with weights of its own; or the language model's logits, of the letters
# after a joint prompt, or of each option's tokens.
STATES, LETTERS, OPTION_TOKENS = "states", "letters", "option_tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head(Entry):
    """A head.

    Args:
        texts: what it can score: layouts with one sequence per "option", or one "joint" prompt for all options.
        kinds: the kinds of models that it fits.
        reads: STATES, LETTERS or OPTION_TOKENS. Without STATES it has no weights, and its code is a function of the
            model and a batch instead of a class.
        extends: the head whose trained weights it can load, since it starts with that head's scores.
        measures: the field of the settings that holds its sizes; "" if it has none.
        compares: whether an option's score depends on the other options, even where each has a sequence of its own.
    """

    texts: tuple[str, ...] = ("option",)
    kinds: tuple[str, ...] = KINDS
    reads: str = STATES
    extends: str = ""
    measures: str = ""
    compares: bool = False

    @property
    def pools(self) -> bool:
        """Whether it reads one pooled state per option, with weights of its own."""
        return self.reads == STATES

    @property
    def layouts(self) -> tuple[str, ...]:
        """The layouts that it can score."""
        return tuple(name for name, layout in LAYOUTS.items() if layout.load().text in self.texts)


HEADS = table(
    Head(
        name="linear",
        code="llmtuner.mcq.heads.linear:LinearHead",
        help="one matrix on the pooled state (STEP2)",
        texts=("option", "joint"),
    ),
    Head(
        name="option_mean",
        code="llmtuner.mcq.heads.option_mean:OptionMeanHead",
        help="linear, plus the mean of the other options' states",
        extends="linear",
        compares=True,
    ),
    Head(
        name="duma",
        code="llmtuner.mcq.heads.duma:DumaHead",
        help="linear, plus co-attention of the option with context and question (STEP3)",
        extends="linear",
        measures="duma",
    ),
    Head(
        name="cduma",
        code="llmtuner.mcq.heads.cduma:CdumaHead",
        help="duma, plus a comparison of the options (STEP3)",
        extends="linear",
        measures="duma",
        compares=True,
    ),
    Head(
        name="letter",
        code="llmtuner.mcq.letter:letter_scores",
        help="the language model's logits for the letters",
        texts=("joint",),
        kinds=("causal",),
        reads=LETTERS,
    ),
    Head(
        name="likelihood",
        code="llmtuner.mcq.likelihood:likelihood_scores",
        help="the language model's log-probability of the option's text",
        kinds=("causal",),
        reads=OPTION_TOKENS,
    ),
)
