"""One row of a question file: its cells with the checks that all forms apply, and the draft that it becomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmtuner.data.problems import quoted

MAX_TEXT = 1_000_000  # characters per cell; a longer cell is an unclosed quote or another kind of file, not a question


def is_formula(name: str) -> bool:
    """Whether a spreadsheet would run an id as a formula when it opens the submission."""
    return name[:1] in ("=", "+", "@", "\t", "\r") or (name[:1] == "-" and not name[1:].isdigit())


@dataclass(frozen=True, slots=True)
class Defect:
    """A defect of one row. The loader adds file and line."""

    kind: str
    what: str
    expected: str = ""
    fix: str = ""


@dataclass(slots=True)
class Draft:
    """A row as read by its form, before the checks that need the whole file.

    Args:
        id: the file's own id, or None if the file has no ids.
        written: the answer as it stands in the file; None if there is none.
        labels: the options' own labels, if the file gives them; else the answer's letters are A, B, ...
        answer: 0-based index into the options; None before the file's answers are settled, and without an answer.
        second: the answer as it stands in another column.
        loose: the answer as written, if it is a letter in lower case or with spaces around it.
        unused: further columns that could be the context and are not blank in this row.
    """

    id: str | None
    question: str
    options: list[str]
    written: object = None
    context: str = ""
    labels: tuple[str, ...] | None = None
    answer: int | None = None
    second: object = None
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
        if value is None:
            if "." not in column:
                return ""
            value = self.value(column)
        # Nearly all cells; the checks would take longer than the rest of reading a row.
        if isinstance(value, str) and value.isascii() and len(value) <= MAX_TEXT and "\0" not in value:
            return value
        return "" if value is None else self.checked(value, f"column {column}")

    def passage(self, column: str) -> str:
        """The text of a passage, which may be a list of its lines. A number is no passage, except in `context`."""
        if isinstance(self.record.get(column), str):
            return self.text(column)
        value = self.value(column)
        if isinstance(value, list) and all(isinstance(line, str) for line in value):
            value = "\n".join(value)
        if value is None or not (isinstance(value, str) or column == "context"):
            return ""
        return self.checked(value, f"column {column}")

    def value(self, column: str) -> Any:
        """The value of a cell, or of a field of it: "question.stem" is the field `stem` of the object `question`."""
        if column in self.record:
            return self.record[column]
        name, _, rest = column.partition(".")
        value = self.record.get(name) if rest else None
        for part in rest.split(".") if rest else ():
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def texts(self, columns: Iterable[str]) -> list[str]:
        """The texts of several columns."""
        texts: list[str] = []
        for column in columns:
            value = self.record.get(column)
            if isinstance(value, str) and value.isascii() and len(value) <= MAX_TEXT and "\0" not in value:
                texts.append(value)  # `text` would do the same; a call for each cell takes longer
            else:
                texts.append(self.text(column))
        return texts

    def identity(self, column: str) -> str | None:
        """The record's id as text, or None if the file has no ids.

        Rejected ids: a blank one, because its row number could be another row's id; one that a spreadsheet would run as
        a formula; and a value that is neither text nor a whole number, which can be written in more than one way.
        """
        if column not in self.columns:
            return None
        value = self.record.get(column)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        name = "" if value is None else self.checked(value, "id")
        if not name.strip():
            if value is None or isinstance(value, str):
                fix = "fill it in, or remove the column: rows are then counted from 0"
                self.defects.append(Defect("id", "the id is blank", "expected one in every row", fix))
        elif is_formula(name):
            defect = f"id {quoted(name)} would run as a formula when the submission is opened in a spreadsheet"
            self.defects.append(Defect("id", defect, fix="rename it"))
        return name

    def checked(self, value: object, cell: str) -> str:
        """`value` if it is a text that a tokenizer accepts, else ""."""
        if not isinstance(value, str):
            if isinstance(value, float) and value != value:
                defect = f"{cell} is missing: NaN is no text"
                self.defects.append(Defect("type", defect, fix="fill it in, or remove the row"))
                return ""
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
