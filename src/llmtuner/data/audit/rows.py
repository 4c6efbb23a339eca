"""A row as the audit lists it: where it stands and what it says."""

from __future__ import annotations

from dataclasses import dataclass

from llmtuner.data.question import Question


@dataclass(frozen=True, slots=True)
class Row:
    """One row of one file.

    Args:
        line: 1-based (a row number for Parquet and JSON arrays).
        answer: the right option's letter, or None.
    """

    file: str
    line: int
    id: str
    question: str
    options: tuple[str, ...]
    answer: str | None

    @property
    def where(self) -> str:
        """`file:line`, as editors understand it."""
        return f"{self.file}:{self.line}"


def row_of(question: Question) -> Row:
    """The row that a question came from."""
    return Row(question.file, question.line, question.id, question.question, question.options, question.answer_letter)
