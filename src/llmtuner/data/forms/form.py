"""What a form is, and a row as a form reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmtuner.data.problems import shown

MAX_TEXT = 1_000_000  # characters of one cell; more is a quote left open or a file in the wrong place, not a question


@dataclass(frozen=True, slots=True)
class Defect:
    """What is wrong with one row; the loader adds file and line."""

    kind: str
    what: str
    expected: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A record as its form reads it, before the file as a whole is looked at.

    Args:
        id: the file's own, or None where the file has no ids.
        answer: index into the options, or None.
        loose: the answer as it is written, where it is a letter in lower case or with blanks around it.
        unused: further columns that could be the context, and are not blank in this row.
    """

    id: str | None
    question: str
    options: list[str]
    answer: int | None
    context: str = ""
    loose: str = ""
    unused: tuple[str, ...] = ()


@dataclass(slots=True)
class Row:
    """A record with the checks that all forms share; what is wrong is noted in `defects`, and reading goes on.

    Args:
        columns: the columns of the whole file: a record of JSON may lack some of them.
    """

    record: Mapping[str, Any]
    columns: tuple[str, ...]
    defects: list[Defect] = field(default_factory=list)

    def text(self, column: str) -> str:
        """A text as it is; null and absent count as blank."""
        value = self.record.get(column)
        return "" if value is None else self._checked(value, f"column {column}")

    def texts(self, column: str) -> list[str]:
        """A list of option texts; null in it counts as blank."""
        value = self.record.get(column)
        if not isinstance(value, list):
            self.defects.append(Defect("list", f"column {column} must be a list of texts, found {shown(value)}"))
            return []
        return ["" if item is None else self._checked(item, f"{column}[{place}]") for place, item in enumerate(value)]

    def index(self, column: str, count: int) -> int | None:
        """An answer counted from 0, or None where there is none."""
        value = self.record.get(column)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            what = f"column {column} must be a whole number counted from 0, found {shown(value)}"
            fix = "write it without quotes" if isinstance(value, str) and value.strip().isdigit() else ""
            self.defects.append(Defect("answer", what, fix=fix))
            return None
        # Options that could not be read are reported already, and so is a list without any.
        if count and not 0 <= value < count:
            what = f"{column} {shown(value)} is outside the {count} option{'s' * (count > 1)}"
            fix = "count from 0, not from 1" if value == count else ""
            self.defects.append(Defect("answer", what, f"expected 0 to {count - 1}", fix))
            return None
        return value

    def identity(self) -> str | None:
        """The record's id as text, or None where the file has no ids.

        Refused are a blank one among others, whose row number might be another row's id; one that a spreadsheet would
        run as a formula; and what is neither text nor a whole number, which has more than one way to be written.
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
            what = f"id {shown(name)} would be run as a formula when the submission is opened"
            self.defects.append(Defect("id", what, fix="rename it"))
        return name

    def _checked(self, value: object, what: str) -> str:
        """`value` if it is a text that a tokenizer can be given, else ""."""
        if not isinstance(value, str):
            found = f"found {type(value).__name__} {shown(value)}"
            fix = "put it in quotes" if isinstance(value, int | float) else "write it as one text"
            self.defects.append(Defect("type", f"{what} must be text, {found}", fix=fix))
            return ""
        if "\0" in value:
            found = f"{what} holds a NUL character (U+0000): {shown(value)}"
            self.defects.append(Defect("character", found, fix="take it out"))
        if len(value) > MAX_TEXT:
            found = f"{what} has {len(value):,} characters: {shown(value)}"
            self.defects.append(Defect("length", found, f"expected at most {MAX_TEXT:,}", "shorten it"))
        elif not value.isascii() and (place := _surrogate(value)) is not None:
            found = f"{what} holds half a character (\\u{ord(value[place]):04x}): {shown(value[place : place + 20])}"
            self.defects.append(Defect("character", found, fix="write both halves, or take it out"))
        return value


def _surrogate(text: str) -> int | None:
    """The place of a lone surrogate, which JSON can spell but UTF-8 cannot: tokenizers and files fail on it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


@dataclass(frozen=True, slots=True)
class Form:
    """A way to write questions.

    Args:
        shape: the columns in words, for messages.
        columns: every column that is read, with its type: "text", "texts", "whole number" or "text or whole number".
        needs: the columns by which it is known and without which it cannot be read.
        answer: the name of the answer's column.
        check: what is wrong with the columns beyond those that are missing.
        read: a row into a draft.
    """

    name: str
    shape: str
    columns: Mapping[str, str]
    needs: tuple[str, ...]
    answer: str
    check: Callable[[tuple[str, ...]], list[Defect]]
    read: Callable[[Row], Draft]


def nothing_more(_columns: tuple[str, ...]) -> list[Defect]:
    """The `check` of a form whose columns are all known by name."""
    return []
