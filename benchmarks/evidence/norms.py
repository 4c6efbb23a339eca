"""All norms of the likelihood head from one prediction, which has the sums and the numbers of tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmtuner.data.predictions import Prediction
from llmtuner.data.question import Question

Scores = Sequence[Sequence[float]]


def scores_by_norm(questions: Sequence[Question], predictions: Sequence[Prediction]) -> dict[str, Scores]:
    """The scores of every norm, from predictions with the norm pmi, in the order of the questions."""
    divisors: dict[str, list[Sequence[int]]] = {
        "sum": [[1] * len(q.options) for q in questions],
        "token": [p.option_tokens or () for p in predictions],
        "char": [[len(text) for text in q.options] for q in questions],
    }
    of_norm: dict[str, Scores] = {
        norm: [
            [
                -math.inf if score == -math.inf else total / divisor  # a blank option has no score, and no length
                for score, total, divisor in zip(p.scores, p.loglikelihood or (), row, strict=True)
            ]
            for p, row in zip(predictions, rows, strict=True)
        ]
        for norm, rows in divisors.items()
    }
    return of_norm | {"pmi": [p.scores for p in predictions]}
