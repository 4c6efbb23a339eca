"""One prompt that lists all options by letter, for the letter head or a classifier on its last token."""

from __future__ import annotations

from collections.abc import Sequence

from llmtuner.data.tokens.joint import JointTokens
from llmtuner.mcq.layouts.base import Layout, Place, Row, Rows, poolings_of


class Joint(Layout):
    """One row per question, padded on the left, so that the scored token is the last of every row."""

    text = "joint"
    poolings = poolings_of(text)
    kinds = ("causal",)
    pads_left = True
    why_not = "it is for causal models; encoders take per_option"

    @staticmethod
    def rows(questions: Sequence[JointTokens]) -> Rows:
        """The rows of questions."""
        scored = [tokens.scored for tokens in questions]
        rows = [Row(ids, list(range(len(ids))), [0] * len(ids)) for ids in scored]
        return Rows(rows, [[Place(row, 0, 0, len(ids))] for row, ids in enumerate(scored)])

    @staticmethod
    def shape(tokens: JointTokens) -> tuple[int, int]:
        """One row, up to the token that predicts the letter."""
        return 1, len(tokens.scored)
