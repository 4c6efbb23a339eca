"""A row in the lists of an audit: its place and its texts."""

from __future__ import annotations

from dataclasses import dataclass

from llmtuner.data.question import Question


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row of one file, as plain JSON values.

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
        """The place of the row as `file:line`, which editors can open."""
        return f"{self.file}:{self.line}"


def row_of(question: Question) -> AuditRow:
    """The row of a question."""
    return AuditRow(
        file=question.file,
        line=question.line,
        id=question.id,
        question=question.question,
        options=question.options,
        answer=question.answer_letter,
    )
