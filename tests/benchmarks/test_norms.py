"""The norms of the likelihood head, from the sums and counts of one prediction."""

from __future__ import annotations

import math

from evidence.norms import scores_by_norm

from llmtuner.data.predictions import Prediction
from llmtuner.data.question import Question


def test_a_blank_option_is_last_under_every_norm():
    """It has no length, and ended the report of a comparison in a division by zero."""
    question = Question("1", "Which?", ("ab", "", "abcd"), 0)
    prediction = Prediction(
        "1",
        scores=(1.0, -math.inf, 2.0),
        answer=0,
        loglikelihood=(-4.0, -math.inf, -6.0),
        option_tokens=(1, 0, 2),
    )
    assert {name: rows[0] for name, rows in scores_by_norm([question], [prediction]).items()} == {
        "sum": [-4.0, -math.inf, -6.0],
        "token": [-4.0, -math.inf, -3.0],
        "char": [-2.0, -math.inf, -1.5],
        "pmi": (1.0, -math.inf, 2.0),
    }
