"""Recognise a file's form by its column names; report missing columns and suggest corrections."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from llmtuner.data.forms.answers import Base
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.row import Defect
from llmtuner.data.problems import quoted
from llmtuner.data.question import LETTERS
from llmtuner.data.soft_targets import COLUMNS as TARGETS
from llmtuner.data.table import NOT_LOADED, Table

# Other common names of these columns. They are suggested in messages, never accepted silently.
_SYNONYMS = {
    "prompt": ("question", "query", "text"),
    "question": ("prompt", "query"),
    "query": ("question", "prompt"),
    "choices": ("options",),
    "answer": ("label", "gold", "target", "correctanswer", "correct", "correctoption", "answerkey"),
    "gold": ("answer", "label", "target"),
    **{letter: (f"option{letter.lower()}", f"choice{letter.lower()}") for letter in LETTERS},
}
_LISTED = 20


def form_of(
    table: Table, forms: Mapping[str, Form], common: Sequence[str], base: Base = "auto"
) -> tuple[Form | None, list[Defect]]:
    """The form of a table and the defects of its columns.

    Args:
        common: names of the forms with which a file of no known form is compared.
        base: how the user says that the answers are written.

    Returns:
        (the form, or None if the table has no readable form; the defects)
    """
    likely = [forms[name] for name in common]
    candidates = recognise(table.columns, forms.values(), likely)
    if len(candidates) != 1:
        return None, [_no_form(table, candidates, likely)]
    return candidates[0], column_defects(candidates[0], table, base)


def column_defects(form: Form, table: Table, base: Base) -> list[Defect]:
    """The defects of a table's columns for a form."""
    if table.text_only and not form.has_option_columns:
        defect = f"these are the columns of the form {form.name}, whose choices are a list; CSV holds text only"
        fix = "give each option its own column (A, B, ...), or save the file as JSONL or Parquet"
        return [Defect("columns", defect, fix=fix)]
    corrections = misspelt(form, table.columns)
    defects = [
        Defect("columns", f"unknown column {quoted(column)}; did you mean {name!r}?", fix="rename it")
        for column, name in corrections.items()
    ]
    missing_names = [name for name in form.needs if name not in table.columns and name not in corrections.values()]
    if missing_names and form.answer and form.answer not in (*table.columns, *corrections.values()):
        # Report a misnamed answer in the same message. On its own it matters only in training.
        unknown = [column for column in table.columns if column not in form.columns and column not in corrections]
        missing_names += [form.answer] if _similar_column(form.answer, unknown) else []
    defects += missing(form, table.columns, missing_names)
    # Misspelt and missing columns count as present: their gap is already reported.
    defects += form.check((*table.columns, *corrections.values(), *form.needs))
    defects += _wrong_types(form, table, base)
    return defects


def recognise(columns: Sequence[str], forms: Iterable[Form], likely: Sequence[Form]) -> list[Form]:
    """The candidate forms of a file with these columns: one for a valid file, none for an unknown form.

    A form whose columns are all needed by another one is the plainer of the two, and gives way to it. Of forms that
    read question and options from the same columns, the one that needs most columns wins.

    Args:
        likely: the forms with which a file that has none completely is compared.
    """
    complete = [form for form in forms if set(form.needs) <= set(columns)]
    if complete:
        closest = [form for form in complete if not any(set(form.needs) < set(other.needs) for other in complete)]
        places = {(form.question, tuple(form.options.columns)) for form in closest}
        return closest if len(places) > 1 else [max(closest, key=lambda form: len(form.needs))]
    ranked = sorted(((_score(form, columns), form) for form in likely), key=lambda pair: pair[0], reverse=True)
    (best, form), (second, _) = ranked[0], ranked[1]
    return [form] if sum(best) >= 2 and best > second else []


def missing(form: Form, columns: Sequence[str], names: Iterable[str]) -> list[Defect]:
    """One defect for all missing columns among `names`, with similar columns as suggestions."""
    missing_names = [name for name in names if name not in columns]
    if not missing_names:
        return []
    unknown = [column for column in columns if column not in form.columns]
    suggestions = {name: _similar_column(name, unknown) for name in missing_names}
    shown = [
        quoted(name) + (f" (did you mean {quoted(similar)}?)" if similar else "")
        for name, similar in suggestions.items()
    ]
    defect = f"missing column{'s' * (len(missing_names) > 1)} {', '.join(shown)}; found {_listed(columns)}"
    fix = "rename" if any(suggestions.values()) else "add"
    fix += " it" if len(missing_names) == 1 else " them"
    return [Defect("columns", defect, f"expected {form.shape}", fix)]


def misspelt(form: Form, columns: Sequence[str]) -> dict[str, str]:
    """Columns that differ from the form's only in case, spaces or underscores, by their correct name.

    Without a message they would be silently ignored.
    """
    names_by_plain = {_plain(name): name for name in form.columns}
    correct = {name: name if name in form.columns else names_by_plain.get(_plain(name), name) for name in columns}
    corrections = {column: name for column, name in correct.items() if column != name and name not in columns}
    # A single letter may be any column; it counts as an option only if it continues the option letters.
    letters = {name for name in [*columns, *corrections.values()] if name in LETTERS}
    options = {letter for index, letter in enumerate(LETTERS) if set(LETTERS[:index]) <= letters}
    return {column: name for column, name in corrections.items() if name not in LETTERS or name in options}


def _no_form(table: Table, candidates: Sequence[Form], likely: Sequence[Form]) -> Defect:
    columns = f"found the columns {_listed(table.columns)}"
    if candidates:
        names = " and ".join(form.name for form in candidates)
        defect = f"the columns of the forms {names} in one file; {columns}"
        return Defect("columns", defect, "expected one form in a file", "write a file for each")
    shapes = " | ".join(f"{form.name}: {form.shape}" for form in likely)
    fix = "name the columns so in the first line" if table.header else "rename the columns"
    fix += ", or name them in the path: FILE?prompt=NAME&options=NAME|NAME&answer=NAME (data/README.md has all forms)"
    return Defect("columns", f"not a known multiple-choice form; {columns}", f"expected {shapes}", fix)


# The file's types that a column of a form's type may have; columns of further types are checked in each row.
_ALLOWED = {
    "text": {"text", "null"},
    "text or whole number": {"text", "whole number", "null"},
    "letter": {"text", "null", "double", "float"},  # pandas writes NaN for missing letters
}
_NO_CHOICES = {"text", "whole number", "float", "double", "bool"}


def _wrong_types(form: Form, table: Table, base: Base) -> list[Defect]:
    expected = {**dict.fromkeys(TARGETS, "target"), **form.columns}
    if base == "auto" and not {"0", "1"} & set(form.styles) and form.answer in expected:
        expected[form.answer] = "letter"
    defects = []
    for column, (kind, name) in table.types.items():
        wanted = expected.get(column, "")
        if kind == NOT_LOADED and wanted and (wanted != "passage" or column == "context"):
            defect = f"column {column} must hold texts or numbers, found {name}"
            defects.append(Defect("types", defect, fix="convert the column, or rename it if it means something else"))
            continue
        if kind not in _ALLOWED.get(wanted, {kind}) or (wanted == "choices" and kind in _NO_CHOICES):
            shown = {"letter": "text", "choices": "a list of texts"}.get(wanted, wanted)
            defects.append(Defect("types", f"column {column} must be {shown}, found {name}", fix=_type_fix(wanted)))
    return defects


def _type_fix(kind: str) -> str:
    if kind == "letter":
        return "write the options' letters, or say where numbers begin: --mcq_answer_base 0, or 1"
    return "write all options of a row as a list" if kind == "choices" else "convert the column"


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(quoted, columns[:_LISTED])) + (", ..." if len(columns) > _LISTED else "") or "none"


def _similar_column(name: str, columns: Sequence[str]) -> str | None:
    """The column whose name is closest to `name`, or None."""
    columns_by_plain = {_plain(column): column for column in columns}
    for candidate in (_plain(name), *_SYNONYMS.get(name, ())):
        if candidate in columns_by_plain:
            return columns_by_plain[candidate]
    # One of a numbered row of columns, such as `choice2`, is not the one column `choices`.
    if not name[-1:].isdigit():
        columns_by_plain = {plain: column for plain, column in columns_by_plain.items() if not plain[-1:].isdigit()}
    # difflib cannot compare single letters: all are equally far apart.
    close = difflib.get_close_matches(_plain(name), columns_by_plain, n=1, cutoff=0.75) if len(name) > 1 else []
    return columns_by_plain[close[0]] if close else None


def _score(form: Form, columns: Sequence[str]) -> tuple[int, int]:
    """How many of the form's columns are present by name, and how many by a similar name."""
    names = (*form.needs, form.answer)
    missing_names = [name for name in names if name not in columns]
    similar_count = sum(_similar_column(name, columns) is not None for name in missing_names)
    return len(names) - len(missing_names), similar_count


def _plain(name: str) -> str:
    return re.sub(r"[\s_\ufeff]+", "", name).casefold()
