"""Checks of a field's value against its flag's type, range and names, for values that no parser has seen."""

from __future__ import annotations

from typing import Any

from llmtuner.errors import FieldError
from llmtuner.spec.entry import choose_from
from llmtuner.spec.flags import FIELDS


def check_field(field: str, value: Any) -> None:
    """Refuse a value that the flag of a field could not have.

    Raises:
        FieldError: with what it can have.
    """
    if field not in FIELDS:
        raise FieldError(field, None, choose_from(field, FIELDS))
    problem = FIELDS[field].problem(value)
    if problem:
        raise FieldError(field, repr(value) if isinstance(value, str) and not FIELDS[field].choices else value, problem)


def check_type(field: str, value: Any, expected: type, *, of: type | None = None) -> None:
    """Refuse a value of another type.

    Args:
        of: the type of the values of a dictionary, or of the items of a tuple.

    Raises:
        FieldError: with the expected type.
    """
    items = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    if isinstance(value, expected) and (of is None or all(isinstance(item, of) for item in items)):
        return
    wanted = "an object" if expected is dict else "a list"
    raise FieldError(field, repr(value), f"expected {wanted}{'' if of is None else ' of texts'}")
