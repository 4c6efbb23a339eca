"""The metrics of a prediction, in the order in which they are reported."""

from __future__ import annotations

from dataclasses import dataclass

from llmtuner.spec.entry import Entry, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Entry):
    """A metric: a function of the scores and the answers of all questions.

    Args:
        higher_is_better: the direction, for choosing the best model of a training.
    """

    higher_is_better: bool


LOSS = "loss"  # reported by every evaluation, along with the metrics


def higher_is_better(reported: str) -> bool:
    """The direction of a reported figure, named by a metric or by a data set and a metric."""
    name = next((name for name in METRICS if reported == name or reported.endswith(f"_{name}")), None)
    return METRICS[name].higher_is_better if name is not None else not reported.endswith(LOSS)


METRICS = table(
    Metric(
        name="map@3",
        code="llmtuner.metrics:map_at_k",
        help="1 if the right option is ranked first, 1/2 if second, 1/3 if third, else 0",
        higher_is_better=True,
    ),
    Metric(
        name="accuracy",
        code="llmtuner.metrics:accuracy",
        help="share of questions whose right option is ranked first",
        higher_is_better=True,
    ),
    Metric(
        name="mrr", code="llmtuner.metrics:mrr", help="1 / rank of the right option, on average", higher_is_better=True
    ),
    Metric(
        name="nll",
        code="llmtuner.metrics:nll",
        help="negative log probability of the right option, in nats",
        higher_is_better=False,
    ),
    Metric(
        name="ece",
        code="llmtuner.metrics:ece",
        help="expected calibration error: how far probabilities are from accuracy",
        higher_is_better=False,
    ),
)
