"""Which figure may choose the best model of a training. Light: no torch."""

from __future__ import annotations

from collections.abc import Sequence

from llmtuner.errors import UserError
from llmtuner.spec.metrics import LOSS, METRICS


def check_reported(metric: str | None, evaluated: Sequence[str] = ()) -> None:
    """Refuse a metric that no evaluation reports, before hours of training lead up to it.

    Args:
        metric: as of transformers' `metric_for_best_model`.
        evaluated: names of the evaluation sets, where each is scored on its own.

    Raises:
        UserError: with those that are reported.
    """
    prefixes = [f"{name}_" for name in evaluated] or [""]
    reported = [f"{prefix}{name}" for prefix in prefixes for name in (*METRICS, LOSS)]
    if metric is not None and metric.removeprefix("eval_") not in reported:
        raise UserError(
            f"--metric_for_best_model {metric}: no evaluation reports it; choose from: {', '.join(reported)}"
        )
