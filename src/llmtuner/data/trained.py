"""The questions that a model was trained on, as digests.

They are stored with the model, so that a prediction can count the questions that it scores again: also if the data has
moved or changed, or has no name because the training was started from Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from llmtuner.data.duplicates import stable_id
from llmtuner.data.normal_form import normal_form
from llmtuner.data.question import Question
from llmtuner.data.split import question_key
from llmtuner.files import sha256_of_bytes

_NONE = "-"  # in place of the digest of a context
_LINE = re.compile(r"([0-9a-f]{16}) ([0-9a-f]{16}|-)")


@dataclass(frozen=True)
class TrainedQuestions:
    """Questions by digests.

    Args:
        contexts: for each question (`stable_id`: its text and set of options), the digests of the contexts that it had.
    """

    contexts: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, questions: Iterable[Question]) -> TrainedQuestions:
        """Of questions; those of weight 0 teach nothing and do not count."""
        contexts: dict[str, set[str]] = {}
        for question in questions:
            if question.weight > 0:
                contexts.setdefault(stable_id(question), set()).add(_context(question))
        return cls({key: frozenset(found) for key, found in contexts.items()})

    @classmethod
    def parse(cls, text: str) -> TrainedQuestions:
        """From the content of a file.

        Raises:
            ValueError: a line is not as `text` writes it.
        """
        contexts: dict[str, set[str]] = {}
        for number, line in enumerate(text.splitlines(), 1):
            match = _LINE.fullmatch(line)
            if match is None:
                raise ValueError(f"line {number}: expected two digests")
            contexts.setdefault(match[1], set()).add(match[2])
        return cls({key: frozenset(found) for key, found in contexts.items()})

    def text(self) -> str:
        """The content of a file: a line for each question and context, sorted."""
        return "".join(f"{key} {context}\n" for key in sorted(self.contexts) for context in sorted(self.contexts[key]))

    def __or__(self, other: TrainedQuestions) -> TrainedQuestions:
        keys = self.contexts.keys() | other.contexts.keys()
        none: frozenset[str] = frozenset()
        return TrainedQuestions({key: self.contexts.get(key, none) | other.contexts.get(key, none) for key in keys})

    def repeated(self, questions: Sequence[Question]) -> list[Question]:
        """Those that were trained on: with equal text, set of options and context. A missing context equals any."""
        return [question for question in questions if self._repeats(question)] if self.contexts else []

    def _repeats(self, question: Question) -> bool:
        found, context = self.contexts.get(stable_id(question), frozenset()), _context(question)
        return bool(found) and (context == _NONE or _NONE in found or context in found)


def repeated_in(questions: Sequence[Question], trained: Iterable[Question]) -> list[Question]:
    """The questions that are also among those of a training, as `TrainedQuestions.repeated` finds them."""
    # Options take most of the time, so that only those of shared texts are compared.
    texts = {question_key(question.question) for question in questions}
    return TrainedQuestions.of(each for each in trained if question_key(each.question) in texts).repeated(questions)


def _context(question: Question) -> str:
    form = normal_form(question.context)
    return sha256_of_bytes(form.encode())[:16] if form else _NONE
