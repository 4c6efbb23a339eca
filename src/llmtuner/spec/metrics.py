"""The metrics of a prediction, in the order in which they are reported."""

from __future__ import annotations

from dataclasses import dataclass

from llmtuner.spec.entry import Entry, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Entry):
    """A metric: a function of the scores and the answers of all questions.

    Args:
        higher_is_better: which of two values is the better one, for choosing the best model of a training.
    """

    higher_is_better: bool


LOSS = "loss"  # reported by every evaluation, beside the metrics


def higher_is_better(reported: str) -> bool:
    """The direction of a reported figure: a metric's name, or that behind the name of a data set."""
    name = next((name for name in METRICS if reported == name or reported.endswith(f"_{name}")), None)
    return METRICS[name].higher_is_better if name is not None else not reported.endswith(LOSS)


METRICS = table(
    Metric(name="map@3", code="llmtuner.metrics:map_at_k", help="mean average precision at 3", higher_is_better=True),
    Metric(name="accuracy", code="llmtuner.metrics:accuracy", help="right option ranked first", higher_is_better=True),
    Metric(name="mrr", code="llmtuner.metrics:mrr", help="mean reciprocal rank", higher_is_better=True),
    Metric(name="nll", code="llmtuner.metrics:nll", help="negative log likelihood, in nats", higher_is_better=False),
    Metric(name="ece", code="llmtuner.metrics:ece", help="expected calibration error", higher_is_better=False),
)
