"""How a user says that a file is to be read: names of columns, and how its answers are written.

exam.csv?prompt=q&options=o1|o2|o3&answer=key&answer_base=1
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from urllib.parse import unquote

from llmtuner.data.forms import COMMON, FORMS
from llmtuner.data.forms.answers import BASES, Base
from llmtuner.data.forms.columns import column_defects, form_of, misspelt, recognise
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.mapped import ROLES, ColumnNames, guess, mapped_form
from llmtuner.data.forms.row import Defect, RowReader
from llmtuner.data.problems import escaped, quoted
from llmtuner.data.table import Table
from llmtuner.errors import UserError

DEFAULT_BASE = "answer_base_default"  # the flag's value behind a name: for files whose registry does not say it either
_BASES = ("answer_base", DEFAULT_BASE)
_QUERY = re.compile(r"[A-Za-z_]+=")


@dataclass(frozen=True, slots=True)
class ReadAs:
    """How a file is to be read, where the user says so.

    Args:
        columns: names of columns; None to recognise the file's form.
        answer_base: a value of `answers.BASES`.
    """

    columns: ColumnNames | None = None
    answer_base: Base = "auto"


AS_IT_IS = ReadAs()


def split_query(name: str) -> tuple[str, str]:
    """A path and what stands behind its last "?", as in "exam.csv?answer=key". A path that exists as written has none.

    >>> split_query("exam.csv?answer=key")
    ('exam.csv', 'answer=key')
    """
    path, mark, query = name.rpartition("?")
    if not mark or not path or not _QUERY.match(query) or os.path.exists(name):
        return name, ""
    return path, query


def parse_query(query: str, name: str, otherwise: ReadAs = AS_IT_IS) -> ReadAs:
    """What stands behind the "?" of a path. Names are percent-encoded where they hold one of & | = ? % , or #.

    Args:
        name: the path with its query, for messages.
        otherwise: what holds where the query says nothing.

    Raises:
        UserError: an unknown or repeated key, or a blank value.
    """
    given: dict[str, Any] = {}
    for part in query.split("&"):
        key, _, value = part.partition("=")
        if key not in (*ROLES, *_BASES):
            close = get_close_matches(key, (*ROLES, "answer_base"), n=1)
            hint = f"did you mean {close[0]}?" if close else f"use {', '.join(ROLES)} or answer_base"
            raise UserError(f"{escaped(name)}: unknown key {quoted(key)} behind the question mark; {hint}")
        if key in given:
            raise UserError(f"{escaped(name)}: {key} is given twice; keep one")
        if not all(value.split("|")):
            raise UserError(f"{escaped(name)}: {key} names no column; write {key}=NAME, or leave it out")
        given[key] = [unquote(part) for part in value.split("|")] if key == "options" else unquote(value)
    default = given.pop(DEFAULT_BASE, "auto")
    base = given.pop("answer_base", default if otherwise.answer_base == "auto" else otherwise.answer_base)
    columns = otherwise.columns
    if given:
        columns = (columns or ColumnNames()).replaced_by(column_names(given, escaped(name)))
    return ReadAs(columns, checked_base(base, escaped(name)))


def merged_query(read_as: ReadAs, query: str, name: str) -> ReadAs:
    """How a file is to be read, with what stands behind its name; each of its values replaces that of the registry.

    Args:
        query: may be "".
        name: with the query, for messages.

    Raises:
        UserError: as in `parse_query`.
    """
    return parse_query(query, name, read_as) if query else read_as


def is_a_form(columns: Sequence[str]) -> bool:
    """Whether a file with these columns is in one known form."""
    candidates = [form for form in FORMS.values() if set(form.needs) <= set(columns)]
    return bool(candidates) and len(recognise(columns, candidates, candidates)) == 1


def column_names(given: Mapping[str, Any], subject: str) -> ColumnNames:
    """Checked names of columns, from a path or from the registry's "columns".

    Args:
        subject: the first words of a message, such as "data set 'exam'".

    Raises:
        UserError: an unknown role, or a value that is not a name.
    """
    for role, value in given.items():
        if role not in ROLES:
            close = get_close_matches(str(role), ROLES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"use {', '.join(ROLES)}"
            raise UserError(f"{subject}: unknown key {quoted(role)} in columns; {hint}")
        names = value if role == "options" and isinstance(value, list) else [value]
        if not names or not all(isinstance(name, str) and name for name in names):
            kind = "a column's name, or a list of them" if role == "options" else "a column's name"
            raise UserError(f"{subject}: columns: {role} must be {kind}, found {quoted(value)}")
        if len(set(names)) < len(names):
            raise UserError(f"{subject}: columns: options names a column twice: {quoted(value)}")
    options = given.get("options", ())
    texts = {role: name for role, name in given.items() if role != "options"}
    return ColumnNames(options=(options,) if isinstance(options, str) else tuple(options), **texts)


def checked_base(value: object, subject: str) -> Base:
    """A value of `answer_base`; the registry may write 0 and 1 as numbers.

    Raises:
        UserError: another value.
    """
    base = next((base for base in BASES if base == str(value) and not isinstance(value, bool)), None)
    if base is None:
        raise UserError(f"{subject}: answer_base {quoted(value)}; use one of {', '.join(BASES)}")
    return base


def form_for(table: Table, read_as: ReadAs) -> tuple[Form | None, list[Defect]]:
    """The form by which a table is read, and the defects of its columns.

    Returns:
        (the form, or None if there is none; the defects)
    """
    if read_as.columns is None:
        form, defects = form_of(table, FORMS, COMMON, read_as.answer_base)
        # Where only the spelling is wrong, the message says it: renaming is simpler.
        renamed = form is not None and set(form.needs) <= {*table.columns, *misspelt(form, table.columns).values()}
        return form, _with_suggestion(defects, table) if defects and not renamed else defects
    candidates = recognise(table.columns, FORMS.values(), [FORMS[name] for name in COMMON])
    known = candidates[0] if len(candidates) == 1 and set(candidates[0].needs) <= set(table.columns) else None
    form, defects = mapped_form(read_as.columns, table.columns, known)
    return form, defects or (column_defects(form, table, read_as.answer_base) if form else [])


def _with_suggestion(defects: list[Defect], table: Table) -> list[Defect]:
    """The defects of a file's columns; the first with names by which the file can be read, if there are such names."""
    names = _suggested(table)
    if names is None:
        return defects
    first, *others = defects
    answer = "" if names.answer else "&answer=NAME (the column of the answers, if there is one)"
    fix = f"to read it, add to its path, in quotes: ?{names.as_query()}{answer}"
    return [Defect(first.kind, first.what, fix=fix), *others]


def _suggested(table: Table) -> ColumnNames | None:
    """Names of columns by which every row of an unknown form can be read; None if no usual names do so."""
    names = guess(table.columns)
    if names is None or table.problems:
        return None
    form, defects = mapped_form(names, table.columns, None)
    if form is None or defects or column_defects(form, table, "auto"):
        return None
    for _, record in table.records:
        row = RowReader(record, table.columns)
        draft = form.read(row)
        # A row without a text in these columns is in another form, and would be read as blank.
        if row.defects or not draft.question.strip() or sum(map(bool, map(str.strip, draft.options))) < 2:
            return None
    return names
