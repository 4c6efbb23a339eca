"""The prompts of all stages: the text pieces of a question, and the order in which each stage composes them.

A composed prompt is a sequence of *literals* and *fields*. Literals are our own text and may contain the template's
special tokens. Fields hold data text and are always tokenised separately as plain text (`llmtuner.data.tokens.fields`).

The lettering of options follows two findings of nanochat for small models: the letter comes *after* its option, and its
tokens in the prompt are exactly those of the answer. The second holds for every tokenizer, because the letter is a
field in both places. (docs/sources.md)

The texts around the fields are those of a form (`llmtuner.spec.prompts`). A blank before a field belongs to the field,
since most tokenizers make one token of a word and the blank before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from llmtuner.data.question import Question
from llmtuner.spec.prompts import TEMPLATE, PromptForm


@dataclass(frozen=True, slots=True)
class Field:
    """A slot for data text in a composed prompt.

    Args:
        name, index: what it holds; the index is the 0-based number of the option or letter.
        lead: blanks before the text, which are tokenised with it. They are no part of what the field is.
    """

    name: Literal["context", "question", "option", "letter"]
    index: int = 0
    lead: str = field(default="", compare=False)


Part = str | Field
CONTEXT, QUESTION, OPTION = Field("context"), Field("question"), Field("option")


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


Turn = tuple[tuple[Part, ...], tuple[Part, ...]]  # what is asked, and the answer


@lru_cache(maxsize=64)
def compose_option(form: PromptForm = TEMPLATE, *, with_context: bool) -> Turn:
    """One option's sequence: context, question and the answer's mark, then the bare option as the answer.

    It contains no letter and no other option, so neither their order nor their texts can change an option's score.
    """
    return _turn(form, [*_asked(form, with_context), form.answer_mark], _filled(form.option, "{option}", OPTION))


@lru_cache(maxsize=64)
def compose_neutral(form: PromptForm) -> Turn:
    """The same without context and question. An empty question stands at its start, for templates that need a text."""
    return _turn(form, [QUESTION, form.answer_mark], _filled(form.option, "{option}", OPTION))


@lru_cache(maxsize=256)
def compose_letter(form: PromptForm, num_options: int, answer: int | None, *, with_context: bool) -> Turn:
    """The joint prompt in a form: context, question, the lettered options, the answer's mark; the answer is a letter.

    Args:
        answer: the 0-based right option; None for no answer.
    """
    if form == TEMPLATE:
        right = () if answer is None else (Field("letter", answer),)
        return compose_joint(num_options, with_context=with_context), right
    parts = _asked(form, with_context)
    if not str(parts[-1]).endswith("\n"):
        parts.append("\n")
    letter = _filled(form.option, "{option}", Field("letter", answer or 0))
    _, given = _turn(form, [*parts, form.answer_mark], letter)
    lead = next(part.lead for part in given if isinstance(part, Field))
    for index in range(num_options):
        # With the answer's blank: the letter has the same tokens in its line as in the answer.
        parts += ["- ", Field("option", index), " ->", lead, Field("letter", index), "\n"]
    user, given = _turn(form, [*parts, form.answer_mark], letter)
    return user, () if answer is None else given


def _asked(form: PromptForm, with_context: bool) -> list[Part]:
    context = _filled(form.context, "{context}", CONTEXT) if with_context else []
    return [*context, *_filled(form.question, "{question}", QUESTION)]


def _filled(text: str, mark: str, field: Field) -> list[Part]:
    """A text with a field in place of its mark."""
    before, found, after = text.partition(mark)
    return [before, field, after] if found else [text]


def _turn(form: PromptForm, asked: list[Part], answer: list[Part]) -> Turn:
    user = _joined(asked)
    last = user[-1] if user else None
    if not form.turns and isinstance(last, str):  # one text: these blanks stand before the answer
        text = last.rstrip(" ")
        user[-1:] = [text] if text else []
        answer = [last[len(text) :], *answer]
    return tuple(user), tuple(_joined(answer))


def _joined(parts: list[Part]) -> list[Part]:
    """The parts without empty texts and neighbouring texts; blanks before a field become its lead."""
    joined: list[Part] = []
    for part in parts:
        before = joined[-1] if joined else None
        if isinstance(part, str):
            if isinstance(before, str):
                joined[-1] = before + part
            elif part:
                joined.append(part)
            continue
        lead = ""
        if isinstance(before, str):
            text = before.rstrip(" ")
            lead = before[len(text) :]
            joined[-1:] = [text] if text else []
        joined.append(Field(part.name, part.index, lead))
    return joined


def question_text(form: PromptForm, text: str) -> str:
    """A question's text, without the label of the form (`Question:`) that it already begins with."""
    label = form.question.partition("{question}")[0].rpartition("\n")[2].strip()
    if not label.endswith(":") or not text.lstrip().startswith(label):
        return text
    return text.lstrip().removeprefix(label).lstrip() or text


def render(parts: tuple[Part, ...], pieces: PromptPieces) -> str:
    """The composed prompt as text, for logs and examples. Models get the tokens instead."""
    return "".join(part if isinstance(part, str) else pieces.text(part) for part in parts)
