"""Columns that are not read: a passage that is lost in silence, and texts that would give the answer away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from llmtuner.data.forms.form import Form, explains, repeats
from llmtuner.data.forms.mapped import ColumnNames
from llmtuner.data.problems import Problem, line_list, quoted
from llmtuner.data.soft_targets import COLUMNS
from llmtuner.data.table import NOT_LOADED, Table
from llmtuner.data.words import CJK

_OF_CONTEXTS = ("context_ids", "context_scores")  # which add_context.py writes beside a context
ORIGIN = ("source", "file", "line", "original_id")  # where a row of our own build is from
# White space, or a letter of a script that is written without it. A hash, a path and an address have neither.
_TEXT = re.compile(rf"\s|[{CJK}\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
LONG = 40  # characters on average: a passage, not a name, a date or a subject


def unused_columns(table: Table, form: Form, file: str) -> list[Problem]:
    """One warning for each unused column of long texts, and one for all columns that explain the right answer."""
    read = {*form.columns, *form.known, *COLUMNS, *(_OF_CONTEXTS if "context" in table.columns else ())}
    read |= {*ORIGIN} if {*ORIGIN} <= {*table.columns} else set()
    unread = [column for column in table.columns if column not in read and not column.startswith("Unnamed:")]
    revealing = [column for column in unread if explains(column)]
    warnings = []
    if revealing:
        names = ", ".join(map(quoted, revealing))
        defect = f"never used, because it explains the right answer: {names}"
        warnings.append(Problem(file, table.header, defect, kind="unused"))
    for column in unread:
        values = [] if column in revealing else [record.get(column) for _, record in table.records]
        warnings += _unused(column, values, table, file)
    return [*warnings, *_unused_fields(table, form, file), *_unreadable_passages(table, form, file)]


def _unused(column: str, values: Sequence[Any], table: Table, file: str) -> list[Problem]:
    """The warning for a column, or a field of one, with these values, if they are long texts."""
    lengths = [_length(value) for value in values if isinstance(value, str | list | dict) and value]
    mean = sum(lengths) / len(lengths) if lengths else 0.0
    if mean <= LONG:
        return []
    defect = f"column {quoted(column)} is not used: texts of {mean:,.0f} characters on average"
    query = ColumnNames(context=column).as_query()
    fix = f'to use it as the context, add ?{query} to the path, or "columns": {{"context": ...}} to the registry'
    advised = not repeats(column) and not any(_is_no_passage(value) or _is_link(value) for value in values)
    return [Problem(file, table.header, defect, fix=fix if advised else "", kind="unused")]


def _unused_fields(table: Table, form: Form, file: str) -> list[Problem]:
    """The same for the fields of the object that holds the question, such as `question.passage`."""
    name, _, field = form.question.partition(".")
    if not field:
        return []
    objects = [value for _, record in table.records if isinstance(value := record.get(name), dict)]
    fields = [f"{name}.{key}" for key in dict.fromkeys(key for value in objects for key in value) if not explains(key)]
    read = {*form.contexts, form.question, getattr(form.options, "column", "")}
    return [
        problem
        for column in fields
        if column not in read
        for problem in _unused(column, [value.get(column.partition(".")[2]) for value in objects], table, file)
    ]


def _length(value: Any) -> int:
    """Characters of a text, or of the texts in a list or an object; 0 for one long word."""
    if isinstance(value, str):
        return len(value) if _TEXT.search(value.strip()) else 0
    if isinstance(value, list | dict):
        return sum(len(item) if isinstance(item, str) else _length(item) for item in _items(value))
    return 0


def _items(value: list[Any] | dict[Any, Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _is_link(value: Any) -> bool:
    """Whether a text is an address, or an image written as one: no passage."""
    return isinstance(value, str) and value.startswith(("http://", "https://", "data:")) and " " not in value


def _unreadable_passages(table: Table, form: Form, file: str) -> list[Problem]:
    """One warning for each column that should be a passage, but holds objects in some rows: these rows lose it."""
    warnings = []
    for column in form.contexts if not table.text_only else ():
        name, _, field = column.partition(".")
        if column == "context" or name not in table.columns:  # an object in `context` is an error
            continue
        kind, type_name = table.types.get(name, ("", ""))
        if kind == NOT_LOADED:
            defect = f"column {quoted(column)} is not read as the context: its type is {type_name}, not text"
            warnings.append(Problem(file, table.header, defect, fix="convert it, if it is a text", kind="unused"))
        lines = [line for line, record in table.records if _is_no_passage(record.get(name), in_object=bool(field))]
        if lines:
            defect = f"column {quoted(column)} is not read as the context: it holds objects or nested lists, not text"
            fix = f"write it as one text, or a list of texts; it is so in {line_list(lines, table.unit)}"
            warnings.append(Problem(file, lines[0], defect, fix=fix, kind="unused"))
    return warnings


def _is_no_passage(value: Any, *, in_object: bool = False) -> bool:
    """Whether a value has texts that `RowReader.passage` does not read.

    Args:
        in_object: whether the passage is a field of the value.
    """
    if not isinstance(value, dict | list) or not _length(value):
        return False
    if in_object or isinstance(value, dict):
        return in_object != isinstance(value, dict)
    return not all(isinstance(line, str) for line in value)
