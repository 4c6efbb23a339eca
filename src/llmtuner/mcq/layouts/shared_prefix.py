"""One row per question: the longest common prefix of its options' sequences, then each option's own tokens."""

from __future__ import annotations

from collections.abc import Sequence

from llmtuner.data.tokens.option import OptionTokens
from llmtuner.mcq.layouts.base import PREFIX, Layout, Place, Row, Rows, poolings_of


class SharedPrefix(Layout):
    """[prefix | option 1 | ... | option n]; every option sees the prefix and itself, never another option.

    Source: trees of continuations behind one prompt (docs/sources.md); for causal models only, whose prefix does not
    depend on what follows.
    """

    text = "option"
    poolings = poolings_of(text)
    kinds = ("causal",)
    packed = True
    why_not = "in an encoder every token of the question sees the option, so nothing is shared between options"

    @staticmethod
    def rows(questions: Sequence[OptionTokens]) -> Rows:
        """The rows of questions."""
        rows: list[Row] = []
        places: list[list[Place]] = []
        for number, tokens in enumerate(questions):
            shared = tokens.prefix_length
            row = Row(tokens.sequences[0][:shared], list(range(shared)), [PREFIX] * shared)
            of_question = []
            for option, sequence in enumerate(tokens.sequences):
                of_question.append(Place(number, len(row.ids), shared, len(sequence)))
                row.ids.extend(sequence[shared:])
                row.positions.extend(range(shared, len(sequence)))
                row.segments.extend([option] * (len(sequence) - shared))
            rows.append(row)
            places.append(of_question)
        return Rows(rows, places, shared=min(options[0].shared for options in places))

    @staticmethod
    def shape(tokens: OptionTokens) -> tuple[int, int]:
        """One row: the prefix, then each option's own tokens."""
        shared = tokens.prefix_length
        return 1, shared + sum(len(sequence) - shared for sequence in tokens.sequences)
