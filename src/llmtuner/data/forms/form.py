"""A form of question files: which columns are the question, its options, its answer, its passage and its id."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from llmtuner.data.forms.answers import ANY, Style
from llmtuner.data.forms.options import OptionReader
from llmtuner.data.forms.row import Defect, Draft, RowReader

# Columns that hold a question's passage, in any form. The first one that is not blank in a row is its context.
CONTEXTS = (
    "context",
    "wikipedia_excerpt",
    "article",
    "passage",
    "support",
    "fact1",
    "para",
    "paragraph",
    "abstract",
    "background",
    "hint",
    "lecture",
)
# Names of columns that explain the right answer, such as "Pre-Revision Explanation": a model that reads one learns to
# copy the answer. The others repeat it.
_EXPLAINS = re.compile(
    r"(?<![a-z])(?:solutions?|expl(?:an|ain)ations?|rationales?|reasonings?|justifications?|cot)(?![a-z])|解析|解释|解答"
)
_REPEATS = re.compile(
    r"(?<![a-z])(?:answers?|correct|gold|target|label|reason|analysis|thinking|thoughts?|response|output|completion|formatted)"
    r"(?![a-z])|答案|分析"
)


def explains(column: str) -> bool:
    """Whether a column explains the right answer, by its name: it must not become the context."""
    return column.casefold() == "exp" or _EXPLAINS.search(column.casefold()) is not None


def repeats(column: str) -> bool:
    """Whether a column seems to hold the right answer in other words, by its name: it is not advised as the context."""
    return _REPEATS.search(column.casefold()) is not None


@dataclass(frozen=True, slots=True)
class Form:
    """A form of question files.

    A name with a full stop is a field of a cell: "question.stem" is the field `stem` of the object `question`.

    Args:
        shape: the columns in words, for messages.
        question: the column of the question's text.
        options: how the options are written.
        answer: the column of the answer; "" if the options tell it.
        styles: the ways in which answers may be written, the documented one first.
        needs: the columns that identify the form; it cannot be read without them.
        documented: whether the form's documentation says how answers are counted, so that numbers are not ambiguous.
        contexts: the columns of the passage, best first.
        joined: whether all contexts of a row together are its passage, not only the first one that is not blank.
        id: the column of the id.
        second_answer: another column that must agree with the answer, and its style.
        listed: whether an answer may stand in a list of one.
        doubts: a column that is "ok" in each row whose question and answer are right; "" if there is none.
        known: further columns, of which the form knows that they are neither passage nor needed.
    """

    name: str
    shape: str
    question: str
    options: OptionReader
    needs: tuple[str, ...]
    answer: str = "answer"
    styles: tuple[Style, ...] = ANY
    documented: bool = False
    contexts: tuple[str, ...] = CONTEXTS
    joined: bool = False
    id: str = "id"
    second_answer: tuple[str, Style] | None = None
    listed: bool = False
    doubts: str = ""
    known: frozenset[str] = field(default=frozenset())

    @property
    def columns(self) -> Mapping[str, str]:
        """Every column that is read, with its type, such as "text" or "text or whole number"."""
        answers = (self.answer, self.second_answer[0] if self.second_answer else "")
        return {
            **dict.fromkeys(self.contexts, "passage"),
            self.question.partition(".")[0]: "object" if "." in self.question else "text",
            **self.options.columns,
            **{name: "answer" for name in answers if name},
            self.id: "text or whole number",
        }

    @property
    def has_option_columns(self) -> bool:
        """Whether each option has its own column, so that a row with fewer options has blank cells."""
        return "choices" not in self.options.columns.values()

    def id_in(self, columns: Sequence[str]) -> str:
        """The column of the id: the form's own, or `id` in a file that lacks it."""
        return self.id if self.id in columns else "id"

    def check(self, columns: Sequence[str]) -> list[Defect]:
        """Defects of a file's columns, other than missing ones."""
        return self.options.check(columns)

    def read(self, row: RowReader) -> Draft:
        """A row as a draft, its answer as written: what it means depends on the other rows."""
        options = self.options.read(row)
        context, unused = self._context(row)
        return Draft(
            row.identity(self.id_in(row.columns)),
            row.text(self.question),
            options.texts,
            written=self._written(row.value(self.answer)) if self.answer else None,
            context=context or options.passage,
            labels=options.labels,
            answer=options.right,
            second=row.value(self.second_answer[0]) if self.second_answer else None,
            unused=unused,
        )

    def _context(self, row: RowReader) -> tuple[str, tuple[str, ...]]:
        """The passage of a row, and further columns that could be it."""
        names = _present(self.contexts, row.columns)
        if not names:
            return "", ()
        passages = {name: text for name in names if (text := row.passage(name)).strip()}
        if self.joined:
            return "\n".join(passages.values()), ()
        return next(iter(passages.values()), ""), tuple(passages)[1:]

    def _written(self, value: Any) -> Any:
        return value[0] if self.listed and isinstance(value, list) and len(value) == 1 else value


@lru_cache(maxsize=64)  # all rows of a file have the same columns
def _present(names: tuple[str, ...], columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name in columns or name.partition(".")[0] in columns)
