"""How the options of a question are written: a column for each, one cell for all, or right and wrong ones apart."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import quote

from llmtuner.data.forms.row import Defect, RowReader
from llmtuner.data.problems import quoted
from llmtuner.data.question import LETTERS


@dataclass(slots=True)
class Options:
    """The options of a row.

    Args:
        labels: their own labels, if the file gives them.
        right: 0-based index of the right option, if the way they are written tells it.
        passage: the passages that stand beside the options (`para` in EXAMS), each once.
    """

    texts: list[str]
    labels: tuple[str, ...] | None = None
    right: int | None = None
    passage: str = ""


class OptionReader(Protocol):
    """One way in which options are written."""

    @property
    def columns(self) -> Mapping[str, str]:
        """The columns that it reads, with their types (see `Form.columns`)."""

    def check(self, columns: Sequence[str]) -> list[Defect]:
        """Defects of a file's columns, other than missing ones."""

    def read(self, row: RowReader) -> Options:
        """The options of a row; defects are added to the row's."""


@dataclass(frozen=True, slots=True)
class LetterColumns:
    """A column for each option, with its letter as name. A file may have any number of them, from A on."""

    columns: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(LETTERS, "text"), hash=False)

    def check(self, columns: Sequence[str]) -> list[Defect]:
        """A gap in the letters, or too many of them."""
        letters = [letter for letter in LETTERS if letter in columns]
        expected = LETTERS[: len(letters)]
        if "".join(letters) != expected:
            gap = next(letter for letter in expected if letter not in letters)
            defect = f"options {', '.join(letters)}: {gap} is missing between them"
            fix = f"add column {gap}, or rename the columns after it"
            return [Defect("columns", defect, "expected letters from A without a gap", fix)]
        next_letter = string.ascii_uppercase[len(LETTERS)]
        if len(letters) == len(LETTERS) and next_letter in columns:
            defect = f"option column {next_letter}: more than {len(LETTERS)} options"
            return [Defect("columns", defect, f"expected at most {len(LETTERS)} (A-{LETTERS[-1]})")]
        return []

    def read(self, row: RowReader) -> Options:
        """An option that a JSON record lacks is blank, as it would be in a table."""
        return Options(row.texts(_letters_in(row.columns)))


@lru_cache(maxsize=32)  # all rows of a file have the same columns
def _letters_in(columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(letter for letter in LETTERS if letter in columns)


@dataclass(frozen=True, slots=True)
class NamedColumns:
    """A column for each option; the order of the names is that of the options.

    Args:
        chosen: whether the user named the columns, so that further ones are left out on purpose.
    """

    names: tuple[str, ...]
    chosen: bool = False

    @property
    def columns(self) -> Mapping[str, str]:
        """Every option's column."""
        return dict.fromkeys(self.names, "text")

    def check(self, columns: Sequence[str]) -> list[Defect]:
        """More options than the form has; missing columns are reported with the form's."""
        further = [] if self.chosen else _further(self.names, columns)
        if not further:
            return []
        query = "|".join(quote(name, safe="_-.()") for name in (*self.names, *further))
        return [_too_many(further, f"name all of them in the path: ?options={query}")]

    def read(self, row: RowReader) -> Options:
        """An option that a JSON record lacks is blank."""
        return Options([row.text(name) for name in self.names])


def _further(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """The columns that go on behind the last name: `ending4` and `ending5` behind `ending3`."""
    further: list[str] = []
    last = names[-1]
    while last[-1] not in "9zZ" and (last := last[:-1] + chr(ord(last[-1]) + 1)) in columns:
        further.append(last)
    return further


def _too_many(further: Sequence[str], fix: str) -> Defect:
    defect = f"option column {', '.join(map(quoted, further))}: more options than this form has"
    return Defect("columns", defect, fix=fix)


_MARK = re.compile(r"\s*[(\[（]?([A-Ja-j])[)\]）.．、:：]\s*")


@dataclass(frozen=True, slots=True)
class Choices:
    """One cell with all options: a list of texts, of objects {label, text}, or an object of lists or of texts by label.

    Args:
        marked: the form writes the letter in front of each option, "(A)Oxygen"; it is taken off where every option of
            the row begins with its own.
        padding: a text that stands for an option that does not exist, at the end of the list.
    """

    column: str
    marked: bool = False
    padding: str = ""

    @property
    def columns(self) -> Mapping[str, str]:
        """The one column."""
        return {self.column.partition(".")[0]: "choices"}

    def check(self, columns: Sequence[str]) -> list[Defect]:
        """None: the shapes are checked in each row."""
        return []

    def read(self, row: RowReader) -> Options:
        """The texts in the file's order, with labels where there are any."""
        value = row.value(self.column)
        texts_and_labels = _texts_and_labels(value)
        if texts_and_labels is None:
            expected = "a list of texts, of objects with label and text, or an object of texts by label"
            row.defects.append(Defect("list", f"column {self.column} must be {expected}, found {quoted(value)}"))
            return Options([])
        values, labels = texts_and_labels
        texts = [
            "" if item is None else row.checked(item, f"{self.column}[{index}]") for index, item in enumerate(values)
        ]
        while self.padding and len(texts) > 2 and texts[-1] == self.padding:
            del texts[-1]
        if self.marked:
            texts = _without_marks(texts)
        if labels is None:
            return Options(texts)
        return Options(texts, labels[: len(texts)], passage=_passages_beside(value))


_OBJECT_KEYS = (("label", "text"), ("key", "value"))  # the second ones are those of MedQA's own files


def _passages_beside(value: Any) -> str:
    passages: Any = value.get("para") if isinstance(value, dict) else None
    if isinstance(value, list):
        passages = [item.get("para") for item in value if isinstance(item, dict)]
    if not isinstance(passages, list):
        return ""
    return "\n".join(dict.fromkeys(text for text in passages if isinstance(text, str) and text.strip()))


def _texts_and_labels(value: Any) -> tuple[list[Any], tuple[str, ...] | None] | None:
    """The option texts of a cell and their labels, or None if it has none of the shapes."""
    if isinstance(value, list):
        if not any(isinstance(item, dict) for item in value):
            return value, None
        for label, text in _OBJECT_KEYS:
            if all(isinstance(item, dict) and text in item and label in item for item in value):
                return [item[text] for item in value], tuple(str(item[label]) for item in value)
        return None
    if not isinstance(value, dict) or not value:
        return None
    texts, labels = value.get("text"), value.get("label")
    if isinstance(texts, list) and isinstance(labels, list):
        return (texts, tuple(map(str, labels))) if len(texts) == len(labels) else None
    # Parquet gives every object all keys of the column, null where the row has none.
    present = {label: text for label, text in value.items() if text is not None}
    return (list(present.values()), tuple(present)) if all(isinstance(text, str) for text in present.values()) else None


def _without_marks(texts: list[str]) -> list[str]:
    matches = [_MARK.match(text) for text in texts]
    own = all(match and match[1].upper() == letter for match, letter in zip(matches, LETTERS, strict=False))
    return [text[match.end() :] for text, match in zip(texts, matches, strict=True) if match] if own else texts


@dataclass(frozen=True, slots=True)
class RightAndWrong:
    """A column for the right option and one for each wrong one.

    The columns give no order of the options. It is drawn by a hash of the options, so that the right
    one is not always first, and a question has the same order in every file and run.
    """

    right: str
    wrong: tuple[str, ...]

    @property
    def columns(self) -> Mapping[str, str]:
        """Every option's column."""
        return dict.fromkeys((self.right, *self.wrong), "text")

    def check(self, columns: Sequence[str]) -> list[Defect]:
        """More options than the form has; missing columns are reported with the form's."""
        further = _further(self.wrong, columns)
        return [_too_many(further, "remove it, or give each option its own column (A, B, ...)")] if further else []

    def read(self, row: RowReader) -> Options:
        """The options in the order drawn, and where the right one is."""
        right, *wrong = (row.text(name) for name in (self.right, *self.wrong))
        texts = [right, *(text for text in wrong if text.strip())]
        drawn = [sha256("\0".join([*sorted(texts), text]).encode("utf-8", "replace")).digest() for text in texts]
        order = sorted(range(len(texts)), key=lambda place: drawn[place])
        return Options([texts[place] for place in order], right=order.index(0) if right.strip() else None)


@dataclass(frozen=True, slots=True)
class MarkedChoices:
    """One cell {"choices": [text, ...], "labels": [0 or 1, ...]}, or {text: 0 or 1}; the right option's label is 1."""

    column: str

    @property
    def columns(self) -> Mapping[str, str]:
        """The one column."""
        return {self.column: "choices"}

    def check(self, columns: Sequence[str]) -> list[Defect]:
        """None: the shape is checked in each row."""
        return []

    def read(self, row: RowReader) -> Options:
        """The texts in the file's order."""
        value = row.value(self.column)
        texts, labels = (value.get("choices"), value.get("labels")) if isinstance(value, dict) else (None, None)
        if isinstance(value, dict) and value and all(type(label) is int for label in value.values()):
            texts, labels = list(value), list(value.values())
        if not (isinstance(texts, list) and isinstance(labels, list) and len(texts) == len(labels)):
            expected = "an object with the lists choices and labels, or of a label for each text"
            defect = f"column {self.column} must be {expected}, found {quoted(value)}"
            row.defects.append(Defect("list", defect))
            return Options([])
        if labels.count(1) != 1:
            defect = f"{self.column}: {labels.count(1)} right options"
            row.defects.append(Defect("answer", defect, "expected one label 1", "remove the question"))
            return Options([])
        checked = [row.checked(text, f"{self.column}[{index}]") for index, text in enumerate(texts)]
        return Options(checked, right=labels.index(1))
