"""The prompts of all stages: the text pieces of a question, and the order in which each stage composes them.

A composed prompt is a sequence of *literals* and *fields*. Literals are our own text and may contain the template's
special tokens. Fields hold data text and are always tokenised separately as plain text (`llmtuner.data.tokens.fields`).

The lettering of options follows two findings of nanochat for small models: the letter comes *after* its option, and its
tokens in the prompt are exactly those of the answer. The second holds for every tokenizer, because the letter is a
field in both places. (docs/sources.md)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from llmtuner.data.question import Question


@dataclass(frozen=True, slots=True)
class Field:
    """A slot for data text in a composed prompt; `index` is the 0-based number of the option or letter."""

    name: Literal["context", "question", "option", "letter"]
    index: int = 0


Part = str | Field


@dataclass(frozen=True, slots=True)
class PromptPieces:
    """The texts of one question, from which every stage composes its prompt."""

    context: str
    question: str
    options: tuple[str, ...]
    letters: str

    def text(self, field: Field) -> str:
        """The text of a field."""
        match field.name:
            case "context":
                return self.context
            case "question":
                return self.question
            case "option":
                return self.options[field.index]
            case "letter":
                return self.letters[field.index]


def build_pieces(question: Question) -> PromptPieces:
    """The pieces of a question, with unchanged texts."""
    return PromptPieces(question.context, question.question, question.options, question.letters)


@lru_cache(maxsize=64)
def compose_joint(num_options: int, *, with_context: bool) -> tuple[Part, ...]:
    """The joint prompt: context, question and all lettered options in one user turn; the answer is a letter.

    Example (literals between fields, for a tokenizer that keeps blanks):
        Passage: {context}

        {question}
        - {option 0} ->{A}
        - {option 1} ->{B}
        The letter of the correct option:
    """
    parts: list[Part] = ["Passage: ", Field("context"), "\n\n"] if with_context else []
    parts += [Field("question"), "\n"]
    for index in range(num_options):
        parts += ["- ", Field("option", index), " ->", Field("letter", index), "\n"]
    return (*parts, "The letter of the correct option:")


def compose_option(*, with_context: bool) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """One option's sequence: context and question in the user turn, the bare option as the answer.

    It contains no letter and no other option, so neither their order nor their texts can change an option's score.

    Returns:
        (parts of the user turn, parts of the answer)
    """
    user: list[Part] = [Field("context"), "\n\n"] if with_context else []
    return (*user, Field("question")), (Field("option"),)


def render(parts: tuple[Part, ...], pieces: PromptPieces) -> str:
    """The composed prompt as text, for logs and examples. Models get the tokens instead."""
    return "".join(part if isinstance(part, str) else pieces.text(part) for part in parts)
