"""What each token of a question is: context, question, option, letter, an example before it, or the template's own."""

from __future__ import annotations

from collections.abc import Iterable

from llmtuner.data.question import Question
from llmtuner.data.tokens.joint import JointEncoder, JointTokens
from llmtuner.data.tokens.option import OptionTokens

TEMPLATE, SHOT, CONTEXT, QUESTION, OPTION, LETTER = "template", "example", "context", "question", "option", "letter"
ROLES = (TEMPLATE, SHOT, CONTEXT, QUESTION, OPTION, LETTER)


def option_roles(tokens: OptionTokens, option: int) -> list[str]:
    """The role of every token of an option's sequence."""
    spans = ((CONTEXT, *tokens.context), (QUESTION, *tokens.question), (OPTION, *tokens.options[option]))
    return _roles(len(tokens.sequences[option]), tokens.shots, spans)


def joint_roles(encoder: JointEncoder, question: Question, tokens: JointTokens, length: int) -> list[str]:
    """The role of every token of a joint prompt.

    Args:
        tokens: of the question, as the encoder made them.
        length: tokens of the sequence: the prompt with the letters' common prefix, or with the response.
    """
    spans = [span for span in encoder.spans(question) if span[2] <= length]
    return _roles(length, tokens.shots, spans)


def _roles(length: int, shots: int, spans: Iterable[tuple[str, int, int]]) -> list[str]:
    roles = [SHOT] * shots + [TEMPLATE] * (length - shots)
    for name, begin, end in spans:
        roles[begin:end] = [name] * (end - begin)
    return roles
