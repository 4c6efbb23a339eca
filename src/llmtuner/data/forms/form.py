"""Forms of question files, and the checks that all forms apply to a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmtuner.data.problems import quoted

MAX_TEXT = 1_000_000  # characters per cell; a longer cell is an unclosed quote or another kind of file, not a question


@dataclass(frozen=True, slots=True)
class Defect:
    """A defect of one row. The loader adds file and line."""

    kind: str
    what: str
    expected: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A row as read by its form, before the checks that need the whole file.

    Args:
        id: the file's own id, or None if the file has no ids.
        answer: 0-based index into the options, or None.
        loose: the answer as written, if it is a letter in lower case or with spaces around it.
        unused: further columns that could be the context and are not blank in this row.
    """

    id: str | None
    question: str
    options: list[str]
    answer: int | None
    context: str = ""
    loose: str = ""
    unused: tuple[str, ...] = ()


@dataclass(slots=True)
class RowReader:
    """Reads the cells of one row. Each defect is added to `defects`, and reading continues.

    Args:
        columns: the columns of the whole file; a JSON record may lack some of them.
    """

    record: Mapping[str, Any]
    columns: tuple[str, ...]
    defects: list[Defect] = field(default_factory=list)

    def text(self, column: str) -> str:
        """A text, unchanged; null and absent become ""."""
        value = self.record.get(column)
        return "" if value is None else self._checked(value, f"column {column}")

    def texts(self, column: str) -> list[str]:
        """A list of option texts; a null item becomes ""."""
        value = self.record.get(column)
        if not isinstance(value, list):
            self.defects.append(Defect("list", f"column {column} must be a list of texts, found {quoted(value)}"))
            return []
        return ["" if item is None else self._checked(item, f"{column}[{index}]") for index, item in enumerate(value)]

    def index(self, column: str, count: int) -> int | None:
        """An answer counted from 0, or None if there is none."""
        value = self.record.get(column)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            defect = f"column {column} must be a whole number counted from 0, found {quoted(value)}"
            fix = "write it without quotes" if isinstance(value, str) and value.strip().isdigit() else ""
            self.defects.append(Defect("answer", defect, fix=fix))
            return None
        # With a count of 0 the options have their own defect, which is already reported.
        if count and not 0 <= value < count:
            defect = f"{column} {quoted(value)} is outside the {count} option{'s' * (count > 1)}"
            fix = "count from 0, not from 1" if value == count else ""
            self.defects.append(Defect("answer", defect, f"expected 0 to {count - 1}", fix))
            return None
        return value

    def identity(self) -> str | None:
        """The record's id as text, or None if the file has no ids.

        Rejected ids: a blank one, because its row number could be another row's id; one that a spreadsheet would run as
        a formula; and a value that is neither text nor a whole number, which can be written in more than one way.
        """
        if "id" not in self.columns:
            return None
        value = self.record.get("id")
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        name = "" if value is None else self._checked(value, "id")
        if not name.strip():
            if value is None or isinstance(value, str):
                fix = "fill it in, or remove the column: rows are then counted from 0"
                self.defects.append(Defect("id", "the id is blank", "expected one in every row", fix))
        elif name[0] in "=+@\t\r" or (name[0] == "-" and not name[1:].isdigit()):
            defect = f"id {quoted(name)} would run as a formula when the submission is opened in a spreadsheet"
            self.defects.append(Defect("id", defect, fix="rename it"))
        return name

    def _checked(self, value: object, cell: str) -> str:
        """`value` if it is a text that a tokenizer accepts, else ""."""
        if not isinstance(value, str):
            fix = "put it in quotes" if isinstance(value, int | float) else "write it as one text"
            defect = f"{cell} must be text, found {type(value).__name__} {quoted(value)}"
            self.defects.append(Defect("type", defect, fix=fix))
            return ""
        if "\0" in value:
            defect = f"{cell} contains a NUL character (U+0000): {quoted(value)}"
            self.defects.append(Defect("character", defect, fix="remove it"))
        if len(value) > MAX_TEXT:
            defect = f"{cell} has {len(value):,} characters: {quoted(value)}"
            self.defects.append(Defect("length", defect, f"expected at most {MAX_TEXT:,}", "shorten it"))
        elif not value.isascii() and (index := _surrogate(value)) is not None:
            code, excerpt = ord(value[index]), quoted(value[index : index + 20])
            defect = f"{cell} contains half a character (\\u{code:04x}): {excerpt}"
            self.defects.append(Defect("character", defect, fix="write both halves, or remove it"))
        return value


def _surrogate(text: str) -> int | None:
    """The index of a lone surrogate. JSON can spell one, but UTF-8 cannot, so tokenizers and files fail on it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


@dataclass(frozen=True, slots=True)
class Form:
    """A form of question files: its columns, and how a row is read.

    Args:
        shape: the columns in words, for messages.
        columns: every column that is read, with its type: "text", "texts", "whole number" or "text or whole number".
        needs: the columns that identify the form; it cannot be read without them.
        answer: the name of the answer's column.
        check: returns the defects of the columns other than missing ones.
        read: turns a row into a draft.
    """

    name: str
    shape: str
    columns: Mapping[str, str]
    needs: tuple[str, ...]
    answer: str
    check: Callable[[tuple[str, ...]], list[Defect]]
    read: Callable[[RowReader], Draft]


def no_further_checks(_columns: tuple[str, ...]) -> list[Defect]:
    """The `check` of a form that knows all of its columns by name."""
    return []
