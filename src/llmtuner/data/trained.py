"""The questions that a model was trained on, as digests.

They are stored with the model, so that a prediction can count the questions that it scores again: also if the data has
moved or changed, or has no name because the training was started from Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmtuner.data.duplicates import stable_id
from llmtuner.data.normal_form import normal_form
from llmtuner.data.question import Question
from llmtuner.data.split import question_key
from llmtuner.files import sha256_of_bytes

_NONE = "-"  # in place of the digest of a context
_LINE = re.compile(r"[0-9a-f]{16} ([0-9a-f]{16}|-)")


@dataclass(frozen=True)
class TrainedQuestions:
    """Questions by digests.

    Args:
        lines: for each question and context, the digest of its text and set of options (`stable_id`), and that of the
            context.
    """

    lines: frozenset[str] = frozenset()

    @classmethod
    def of(cls, questions: Iterable[Question]) -> TrainedQuestions:
        """Of questions; those of weight 0 teach nothing and do not count."""
        return cls(frozenset(_line(question) for question in questions if question.weight > 0))

    @classmethod
    def parse(cls, text: str) -> TrainedQuestions:
        """From the content of a file.

        Raises:
            ValueError: a line is not as `text` writes it.
        """
        lines = text.splitlines()
        for number, line in enumerate(lines, 1):
            if not _LINE.fullmatch(line):
                raise ValueError(f"line {number}: expected two digests")
        return cls(frozenset(lines))

    def text(self) -> str:
        """The content of a file: one line each, sorted."""
        return "".join(f"{line}\n" for line in sorted(self.lines))

    def __or__(self, other: TrainedQuestions) -> TrainedQuestions:
        return TrainedQuestions(self.lines | other.lines)

    def known(self, questions: Sequence[Question]) -> tuple[list[Question], list[Question]]:
        """Those that were trained on, and those of which only text and options were, with other contexts alone.

        A missing context equals any.
        """
        repeated: list[Question] = []
        with_another_context: list[Question] = []
        keys = {line.split()[0] for line in self.lines}
        for question in questions if keys else ():
            line = _line(question)
            key, context = line.split()
            if line in self.lines or f"{key} {_NONE}" in self.lines or (context == _NONE and key in keys):
                repeated.append(question)
            elif key in keys:
                with_another_context.append(question)
        return repeated, with_another_context


def trained_among(questions: Sequence[Question], training: Iterable[Question]) -> TrainedQuestions:
    """Those questions of a training whose text is among others.

    Options take most of the time of a digest, so that only those of shared texts are looked at.
    """
    texts = {question_key(question.question) for question in questions}
    return TrainedQuestions.of(each for each in training if question_key(each.question) in texts)


def _line(question: Question) -> str:
    context = normal_form(question.context)
    return f"{stable_id(question)} {sha256_of_bytes(context.encode())[:16] if context else _NONE}"
