"""What a form is, and the checks that forms share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llmtuner.data.problems import shown
from llmtuner.data.question import LETTERS


class Defect(ValueError):
    """What is wrong with one record; the loader adds file and line."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A record as its form reads it, before the file as a whole is looked at.

    Args:
        answer: index into the options, or None.
        notes: what was accepted although it was written in another way.
    """

    id: str | None
    question: str
    options: list[str]
    answer: int | None
    context: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """A way to write questions.

    Args:
        columns: every column that is read, with its type: "text", "texts", "whole number" or "any".
        recognise: whether a file with these columns is meant to be of this form.
        check: what is wrong with the columns, one message each.
        read: a record into a draft; raises Defect.
        answer: the name of the answer's column.
    """

    name: str
    columns: Mapping[str, str]
    recognise: Callable[[tuple[str, ...]], bool]
    check: Callable[[tuple[str, ...]], list[str]]
    read: Callable[[dict[str, Any]], Draft]
    answer: str


def text(record: dict[str, Any], column: str) -> str:
    """A text; null and absent count as blank.

    Raises:
        Defect: something other than text, or a NUL character in it.
    """
    value = record.get(column)
    if value is None:
        return ""
    return checked_text(value, f"column {column}")


def checked_text(value: object, what: str) -> str:
    """`value` if it is text that a tokenizer can be given.

    Raises:
        Defect: it is not.
    """
    if not isinstance(value, str):
        raise Defect(f"{what} must be text, found {type(value).__name__} {shown(value)}; put it in quotes")
    if "\0" in value:
        raise Defect(f"{what} holds a NUL character (U+0000): {shown(value)}; take it out")
    return value


def identity(record: dict[str, Any]) -> str | None:
    """The record's id as text, or None.

    Raises:
        Defect: an id that a spreadsheet would run as a formula, or that is neither text nor a whole number.
    """
    value = record.get("id")
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    name = checked_text(value, "id")
    if name[0] in "=+@\t\r" or (name[0] == "-" and not name[1:].isdigit()):
        raise Defect(f"id {shown(name)} would be run as a formula when the submission is opened; rename it")
    return name


def texts(record: dict[str, Any], column: str) -> list[str]:
    """A list of option texts.

    Raises:
        Defect: something else.
    """
    value = record.get(column)
    if not isinstance(value, list):
        raise Defect(f"column {column} must be a list of texts, found {shown(value)}")
    return [checked_text("" if item is None else item, f"{column}[{place}]") for place, item in enumerate(value)]


def index(record: dict[str, Any], column: str, options: list[str]) -> int | None:
    """An answer counted from 0, or None where there is none.

    Raises:
        Defect: no whole number, or outside the options.
    """
    value = record.get(column)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise Defect(f"column {column} must be a whole number counted from 0, found {shown(value)}")
    if not 0 <= value < len(options):
        raise Defect(f"{column} {value} is outside the {len(options)} options (counted from 0)")
    return value


def missing(columns: tuple[str, ...], wanted: tuple[str, ...]) -> list[str]:
    """A message for each wanted column that is not there, with the one that looks like it."""
    return [_missing(name, columns) for name in wanted if name not in columns]


def misspelt(columns: tuple[str, ...], known: Mapping[str, str]) -> list[str]:
    """A message for each column that is a known one but for case or blanks, which would be passed over otherwise."""
    plain = {name.casefold(): name for name in known}
    found = []
    for column in columns:
        meant = plain.get(column.strip().casefold())
        if meant is not None and column != meant and meant not in columns:
            found.append(f"column {shown(column)} is not known; did you mean {meant!r}? Rename it in the header")
    return found


def _missing(name: str, columns: tuple[str, ...]) -> str:
    listed = ", ".join(map(shown, columns[:15])) + (", ..." if len(columns) > 15 else "")
    return f"missing column {name!r}; found {listed}"


def letter_range(count: int) -> str:
    """ "A-E" for five."""
    return f"A-{LETTERS[count - 1]}"
