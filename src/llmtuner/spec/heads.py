"""The heads: what turns hidden states, or the logits of letters, into one score an option."""

from __future__ import annotations

from dataclasses import dataclass

from llmtuner.spec.entry import KINDS, Entry, table

_ROWS = ("shared_prefix", "per_option")  # layouts with one sequence an option


@dataclass(frozen=True, slots=True, kw_only=True)
class Head(Entry):
    """A head.

    Args:
        layouts: those that it can score, its default for causal models first.
        kinds: of models that it fits.
        pools: whether it reads one pooled state an option. A head that does not reads the language model's own logits:
            it has no weights, and its code is a function of the model and a batch in place of a class.
        extends: the head whose trained weights it can take over, since it starts with that head's scores.
        measures: the field of the settings that holds its own measures, "" where it has none.
    """

    layouts: tuple[str, ...] = _ROWS
    kinds: tuple[str, ...] = KINDS
    pools: bool = True
    extends: str = ""
    measures: str = ""


HEADS = table(
    Head(
        name="linear",
        code="llmtuner.mcq.heads.linear:LinearHead",
        help="one matrix on the pooled state (STEP2)",
        layouts=(*_ROWS, "joint"),
    ),
    Head(
        name="option_mean",
        code="llmtuner.mcq.heads.option_mean:OptionMeanHead",
        help="linear, and the mean of the other options",
        extends="linear",
    ),
    Head(
        name="duma",
        code="llmtuner.mcq.heads.duma:DumaHead",
        help="linear, and passage and option attending to each other (STEP3)",
        extends="linear",
        measures="duma",
    ),
    Head(
        name="cduma",
        code="llmtuner.mcq.heads.cduma:CdumaHead",
        help="duma, and the options compared with each other (STEP3)",
        extends="linear",
        measures="duma",
    ),
    Head(
        name="letter",
        code="llmtuner.mcq.letter:letter_scores",
        help="the language model's logits of the letters",
        layouts=("joint",),
        kinds=("causal",),
        pools=False,
    ),
)
