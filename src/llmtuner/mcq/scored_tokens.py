"""Which tokens of a sequence an option's score is read from, as the collator tells the head."""

from __future__ import annotations

from llmtuner.data.tokens.option import OptionTokens
from llmtuner.mcq.pooling import PASSAGES
from llmtuner.mcq.questions import Tokens
from llmtuner.mcq.settings import McqSettings
from llmtuner.spec.heads import HEADS, LETTERS, OPTION_TOKENS
from llmtuner.spec.poolings import POOLINGS


def scored_tokens(settings: McqSettings, tokens: Tokens, option: int) -> set[int]:
    """Places in the option's sequence: of pooled states and of those that co-attention reads, or of predicted tokens.

    For letters it is the last token of the prompt, which predicts the letter.
    """
    reads = HEADS[settings.head].reads
    if reads == LETTERS:
        return {len(tokens.sequences[0]) - 1}
    if reads == OPTION_TOKENS:
        assert isinstance(tokens, OptionTokens), "only a sequence for each option has a likelihood"
        return set(range(*tokens.scored(option)))
    scored = set(range(*POOLINGS[settings.pooling].load()(tokens, option)))
    if settings.duma is not None and isinstance(tokens, OptionTokens):
        passage, answer = PASSAGES[settings.duma.passage](tokens, option)
        scored |= {*passage, *answer}
    return scored
