"""Strict parsing of JSON objects, shared by JSON and JSON Lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from llmtuner.data.problems import QUOTED, TOO_LONG_A_NUMBER, Problem, quoted

KINDS = {dict: "an object", list: "an array", str: "a text", bool: "true or false", type(None): "null"}


class RepeatedKeys(dict[str, Any]):
    """An object that names a key twice. Python's own parser silently keeps the last value."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.names = [name for name in self if names.count(name) > 1]


class MissingCell:
    """NaN, Infinity or -Infinity, which Python and pandas write for a missing cell, and which JSON does not have."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __repr__(self) -> str:
        return self.word


class Incomplete(dict[str, Any]):
    """An object with such a word in it, at any depth."""

    def __init__(self, record: dict[str, Any]) -> None:
        super().__init__(record)
        self.gaps = list(_gaps(record, ""))  # (the cell, such as "choices[1]"; the word)


class _NoNumber(Exception):
    """Raised where a word of `MissingCell` stands, to parse once more with a place for it."""


def parse_value(text: str, file: str, first_line: int = 1) -> tuple[Any, Problem | None]:
    """Parse a JSON value.

    Args:
        first_line: the line of the file on which `text` begins.

    Returns:
        (the value, None), or (None, the problem)
    """
    try:
        try:
            return _STRICT.decode(text), None
        except _NoNumber:
            return _LENIENT.decode(text), None
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        return None, Problem(file, line, f"not JSON: {error.msg}", fix=_fix(error), kind="JSON", column=error.colno)
    except RecursionError:
        defect = "not readable: brackets are nested too deeply"
    except ValueError:  # an integer with more digits than Python converts
        defect = f"not readable: {TOO_LONG_A_NUMBER}"
    return None, Problem(file, first_line, defect, kind="JSON")


def checked_object(value: Any, file: str, line: int) -> dict[str, Any] | Problem:
    """`value` if it is an object without repeated keys and missing cells, else the problem."""
    names = repeated_keys(value)
    if names:
        defect = f"key {', '.join(map(quoted, names))} occurs twice"
        return Problem(file, line, defect, fix="remove one of them", kind="keys")
    if isinstance(value, Incomplete):
        (cell, word), more = value.gaps[0], len(value.gaps) - 1
        defect = f"{cell} is {word}{f', and {more} more' if more else ''}: a missing cell, which JSON writes as null"
        return Problem(file, line, defect, fix=f"fill it in, or write null in place of {word}", kind="missing cell")
    if isinstance(value, dict):
        return value
    defect = f"expected an object {{...}}, found {KINDS.get(type(value), 'a number')}: {quoted(value)}"
    return Problem(file, line, defect, kind="object")


def repeated_keys(value: Any) -> list[str]:
    """The keys that an object names twice, at any depth: "probabilities.A"."""
    names: list[str] = []
    waiting = [("", value)]  # no recursion: brackets may be nested as deeply as Python parses them
    for place, each in waiting:
        names += [f"{place}{name}" for name in each.names] if isinstance(each, RepeatedKeys) else []
        items = each.items() if isinstance(each, dict) else enumerate(each) if isinstance(each, list) else ()
        waiting += [(f"{place}{name}.", item) for name, item in items if isinstance(item, dict | list)]
    return names


def complete_or_not(record: dict[str, Any]) -> dict[str, Any]:
    """The object, as `Incomplete` if it has missing cells."""
    incomplete = Incomplete(record)
    return incomplete if incomplete.gaps else record


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    return record if len(record) == len(pairs) else RepeatedKeys(pairs)


def _object_with_gaps(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = _object(pairs)
    return record if isinstance(record, RepeatedKeys) else complete_or_not(record)


def _no_number(_word: str) -> None:
    raise _NoNumber


def _gaps(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """The missing cells of a value with their places."""
    if isinstance(value, MissingCell):
        yield place, value.word
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _gaps(item, f"{place}.{name}" if place else f"column {name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _gaps(item, f"{place}[{index}]")


# Made once: json.loads would make a decoder for each line.
_STRICT = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number)
_LENIENT = json.JSONDecoder(object_pairs_hook=_object_with_gaps, parse_constant=MissingCell)


def _fix(error: json.JSONDecodeError) -> str:
    before = error.doc[: error.pos].rstrip()
    if "escape" in error.msg:
        command = re.match(r"\\[A-Za-z]*", error.doc[max(error.doc.rfind("\\", 0, error.pos + 1), 0) :])
        shown = command[0][:QUOTED] if command and len(command[0]) > 1 else "\\"
        return f"write each backslash of a text twice: \\{shown}"
    if before.endswith(",") and error.doc[error.pos : error.pos + 1] in ("}", "]"):
        return "remove the comma before it"
    if "property name" in error.msg and error.doc[error.pos : error.pos + 1] == "'":
        return 'write " around names and texts'
    return "the file may be cut short; download it again" if error.pos >= len(error.doc.rstrip()) else ""
