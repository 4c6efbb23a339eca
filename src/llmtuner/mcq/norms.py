"""The divisors of an option's log-probability, one for each norm (`llmtuner.spec.norms`)."""

from __future__ import annotations

from llmtuner.data.tokens.option import OptionTokens


def one(_tokens: OptionTokens, _option: int) -> int:
    """The sum stays as it is."""
    return 1


def tokens(tokens: OptionTokens, option: int) -> int:
    """The number of tokens whose log-probabilities are summed."""
    begin, end = tokens.scored(option)
    return end - begin


def characters(tokens: OptionTokens, option: int) -> int:
    """The code points of the option's text as it stands in the file, whatever the prompt puts around it."""
    return tokens.characters[option]
