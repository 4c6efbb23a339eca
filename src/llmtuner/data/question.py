"""One multiple-choice question: the row that all data modules work on."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from llmtuner.data.problems import escaped_id

LETTERS = "ABCDEFGHIJ"
MIN_OPTIONS, MAX_OPTIONS = 2, len(LETTERS)


@dataclass(frozen=True, slots=True)
class Question:
    """A checked question. Its texts are those of the file, unchanged.

    Args:
        id: the file's own id as text, else the 0-based row number.
        question: the text of the question ("prompt" in Kaggle's files).
        options: two to ten texts; one may be blank or equal to another.
        answer: 0-based index into `options`, or None if the file gives no answer.
        context: the passage of the question, or "".
        probabilities: of each option, with sum 1, where a training file has them: a training on them uses these in
            place of the answer, and everything else the answer.
        weight: how much the question counts in a training.
        dataset: the given name of the data set.
        file, line: the place of the row; the line is 1-based (a row number for Parquet and JSON arrays).
    """

    id: str
    question: str
    options: tuple[str, ...]
    answer: int | None = None
    context: str = ""
    dataset: str = ""
    file: str = ""
    line: int = 0
    probabilities: tuple[float, ...] | None = None
    weight: float = 1.0

    @property
    def letters(self) -> str:
        """The letters of the options: "ABCDE" for five."""
        return LETTERS[: len(self.options)]

    @property
    def answer_letter(self) -> str | None:
        """The answer as a letter, or None."""
        return None if self.answer is None else LETTERS[self.answer]

    @property
    def shown_id(self) -> str:
        """The id for a message: an id with a line break could forge a line of ours."""
        return escaped_id(self.id)

    @property
    def where(self) -> str:
        """The place of the row as `file:line`, which editors can open."""
        return f"{self.file}:{self.line}"


def is_blank(text: str) -> bool:
    """Whether a text has no visible character: nothing but white space, control and format characters."""
    return all(character.isspace() or unicodedata.category(character) in ("Cc", "Cf") for character in text)
