"""One row per option: the reference, the fallback, and the layout of bidirectional encoders."""

from __future__ import annotations

from collections.abc import Sequence

from llmtuner.data.tokens.option import OptionTokens
from llmtuner.mcq.layouts.base import Layout, Place, Row, Rows, poolings_of


class PerOption(Layout):
    """Each option's whole sequence in its own row, as Hugging Face's multiple-choice models read them."""

    text = "option"
    poolings = poolings_of(text)
    kinds = ("causal", "encoder")

    @staticmethod
    def rows(questions: Sequence[OptionTokens]) -> Rows:
        """The rows of questions."""
        rows: list[Row] = []
        places: list[list[Place]] = []
        for tokens in questions:
            places.append([Place(len(rows) + i, 0, 0, len(s)) for i, s in enumerate(tokens.sequences)])
            rows += [Row(s, list(range(len(s))), [0] * len(s)) for s in tokens.sequences]
        return Rows(rows, places)

    @staticmethod
    def shape(tokens: OptionTokens) -> tuple[int, int]:
        """One row per option."""
        return len(tokens.sequences), max(map(len, tokens.sequences))
