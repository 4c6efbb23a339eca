"""The row that everything else is made of: one multiple-choice question."""

from __future__ import annotations

from dataclasses import dataclass

LETTERS = "ABCDEFGHIJ"
MIN_OPTIONS, MAX_OPTIONS = 2, len(LETTERS)


@dataclass(frozen=True, slots=True)
class Question:
    """A checked question as a file gives it; no text is changed on the way in.

    Args:
        id: the file's own id as text, else the 0-based row number.
        question: the text that is asked ("prompt" in Kaggle's files).
        options: two to ten texts; one of them may be blank, or equal to another.
        answer: 0-based index into `options`, or None where the file gives no answer.
        context: a passage that goes with the question, or "".
        dataset: the name under which the file was asked for.
        file, line: where the row stands; the line is 1-based (a row number for Parquet and JSON arrays).
    """

    id: str
    question: str
    options: tuple[str, ...]
    answer: int | None = None
    context: str = ""
    dataset: str = ""
    file: str = ""
    line: int = 0

    @property
    def letters(self) -> str:
        """The letters of the options: "ABCDE" for five."""
        return LETTERS[: len(self.options)]

    @property
    def answer_letter(self) -> str | None:
        """The answer as a letter, or None."""
        return None if self.answer is None else LETTERS[self.answer]

    @property
    def where(self) -> str:
        """`file:line`, as editors understand it."""
        return f"{self.file}:{self.line}"
