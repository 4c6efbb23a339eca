"""The one place where a question becomes a prompt: pieces of text, and how each stage puts them together.

A composed prompt is a sequence of *literals*, which are ours and may meet the template's special tokens, and *fields*,
which are the data's and are always tokenised on their own as plain text (see `llmtuner.data.tokens.fields`).

How a letter is bound to its option follows two findings that nanochat records for small models: the letter comes
*after* its option, and it is spelt in the prompt by exactly the tokens with which the answer is given. Fields make the
second hold for every tokenizer, since the letter is a field in both places. (docs/sources.md)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llmtuner.data.question import Question


@dataclass(frozen=True, slots=True)
class Field:
    """A place for data text in a composed prompt; `index` counts options and letters from 0."""

    name: Literal["context", "question", "option", "letter"]
    index: int = 0


Part = str | Field


@dataclass(frozen=True, slots=True)
class PromptPieces:
    """The texts of one question from which every stage composes its prompt."""

    context: str
    question: str
    options: tuple[str, ...]
    letters: str

    def text(self, field: Field) -> str:
        """The text that belongs into a field."""
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
    """Take a question apart; nothing is trimmed or changed."""
    return PromptPieces(question.context, question.question, question.options, question.letters)


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

    No letter and no other option stands in it, so that neither order nor neighbours can change an option's score.
    """
    user: list[Part] = [Field("context"), "\n\n"] if with_context else []
    return (*user, Field("question")), (Field("option"),)


def render(parts: tuple[Part, ...], pieces: PromptPieces) -> str:
    """The composed prompt as a person reads it (for logs and examples; models get the tokens)."""
    return "".join(part if isinstance(part, str) else pieces.text(part) for part in parts)
