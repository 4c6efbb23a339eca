"""The norms of the likelihood head: what the log-probability of an option's text is divided by, or compared with."""

from __future__ import annotations

from dataclasses import dataclass

from llmtuner.spec.entry import Entry, table

DEFAULT_NORM = "char"


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm(Entry):
    """A norm. Its code is a function of a question's tokens and an option's number: the divisor of the option's sum.

    Args:
        neutral: whether the sum after the neutral prompt is subtracted, which takes a second pass; for prediction only.
    """

    neutral: bool = False


NORMS = table(
    Norm(name="sum", code="llmtuner.mcq.norms:one", help="the sum over the option's tokens, as it is"),
    Norm(name="token", code="llmtuner.mcq.norms:tokens", help="the sum, per token of the option"),
    Norm(name="char", code="llmtuner.mcq.norms:characters", help="the sum, per character of the option's text"),
    Norm(
        name="pmi",
        code="llmtuner.mcq.norms:one",
        help="the sum, minus the sum without context and question (prediction only)",
        neutral=True,
    ),
)
