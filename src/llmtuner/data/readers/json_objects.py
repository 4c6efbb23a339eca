"""Strict parsing of JSON objects, shared by JSON and JSON Lines."""

from __future__ import annotations

import json
from typing import Any

from llmtuner.data.problems import TOO_LONG_A_NUMBER, Problem, quoted

KINDS = {dict: "an object", list: "an array", str: "a text", bool: "true or false", type(None): "null"}


class RepeatedKeys(dict[str, Any]):
    """An object that names a key twice. Python's own parser silently keeps the last value."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.names = [name for name in self if names.count(name) > 1]


def parse(text: str, file: str, first_line: int = 1) -> tuple[Any, Problem | None]:
    """Parse a JSON value.

    Args:
        first_line: the line of the file on which `text` begins.

    Returns:
        (the value, None), or (None, the problem)
    """
    try:
        return json.loads(text, object_pairs_hook=_object), None
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        return None, Problem(file, line, f"not JSON: {error.msg}", fix=_fix(error), kind="JSON", column=error.colno)
    except RecursionError:
        defect = "not readable: brackets are nested too deeply"
    except ValueError:  # an integer with more digits than Python converts
        defect = f"not readable: {TOO_LONG_A_NUMBER}"
    return None, Problem(file, first_line, defect, kind="JSON")


def checked_object(value: Any, file: str, line: int) -> dict[str, Any] | Problem:
    """`value` if it is an object without repeated keys, else the problem."""
    if isinstance(value, RepeatedKeys):
        defect = f"key {', '.join(map(quoted, value.names))} occurs twice"
        return Problem(file, line, defect, fix="remove one of them", kind="keys")
    if isinstance(value, dict):
        return value
    defect = f"expected an object {{...}}, found {KINDS.get(type(value), 'a number')}: {quoted(value)}"
    return Problem(file, line, defect, kind="object")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    return record if len(record) == len(pairs) else RepeatedKeys(pairs)


def _fix(error: json.JSONDecodeError) -> str:
    before = error.doc[: error.pos].rstrip()
    if before.endswith(",") and error.doc[error.pos : error.pos + 1] in ("}", "]"):
        return "remove the comma before it"
    if "property name" in error.msg and error.doc[error.pos : error.pos + 1] == "'":
        return 'write " around names and texts'
    return "the file may be cut short; download it again" if error.pos >= len(error.doc.rstrip()) else ""
