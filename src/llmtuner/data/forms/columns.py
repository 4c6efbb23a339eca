"""Column names: which form a file is of, what it lacks, and what its author may have meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from llmtuner.data.forms.form import Defect, Form
from llmtuner.data.problems import shown
from llmtuner.data.question import LETTERS
from llmtuner.data.table import Table

# Other names under which these columns are met; suggested, never taken for them in silence.
_OTHER_NAMES = {
    "prompt": ("question", "query", "text"),
    "question": ("prompt", "query"),
    "query": ("question", "prompt"),
    "choices": ("options",),
    "answer": ("label", "gold", "target", "correctanswer"),
    "gold": ("answer", "label", "target"),
    **{letter: (f"option{letter.lower()}", f"choice{letter.lower()}") for letter in LETTERS},
}
_LISTED = 20


def form_of(table: Table, forms: Iterable[Form]) -> tuple[Form | None, list[Defect]]:
    """The form of a table, and what is wrong with its columns; None where it is of no form that could be read."""
    forms = list(forms)
    found = recognise(table.columns, forms)
    if len(found) != 1:
        return None, [_no_form(table, found, forms)]
    form = found[0]
    if table.text_only and "texts" in form.columns.values():
        what = f"these are the columns of the form {form.name}, whose choices are a list; CSV holds text only"
        fix = "give each option a column of its own (A, B, ...), or save the file as JSONL or Parquet"
        return None, [Defect("columns", what, fix=fix)]
    near = misspelt(form, table.columns)
    defects = [
        Defect("columns", f"column {shown(column)} is not known; did you mean {meant!r}?", fix="rename it")
        for column, meant in near.items()
    ]
    lost = [name for name in form.needs if name not in table.columns and name not in near.values()]
    if lost:  # then a misspelt answer is told in the same breath; on its own, it matters in training only
        other = [column for column in table.columns if column not in form.columns and column not in near]
        lost += [form.answer] if form.answer not in table.columns and _near(form.answer, other) else []
    defects += missing(form, table.columns, [name for name in lost if name not in near.values()])
    # A gap that a misspelt or missing letter leaves is told already.
    defects += form.check((*table.columns, *near.values(), *form.needs))
    defects += _wrong_types(form, table)
    return form, defects


def recognise(columns: Sequence[str], forms: Iterable[Form]) -> list[Form]:
    """The forms that a file with these columns may be of: one if all is well, none if it is of no known form."""
    forms = list(forms)
    complete = [form for form in forms if set(form.needs) <= set(columns)]
    if complete:
        return complete
    ranked = sorted(((_score(form, columns), form) for form in forms), key=lambda pair: pair[0], reverse=True)
    (best, form), (second, _) = ranked[0], ranked[1]
    return [form] if sum(best) >= 2 and best > second else []


def missing(form: Form, columns: Sequence[str], names: Iterable[str]) -> list[Defect]:
    """One defect for all wanted names that are not there, with what looks like them."""
    absent = [name for name in names if name not in columns]
    if not absent:
        return []
    other = [column for column in columns if column not in form.columns]
    listed = [
        shown(name) + (f" (did you mean {shown(near)}?)" if (near := _near(name, other)) else "") for name in absent
    ]
    what = f"missing column{'s' * (len(absent) > 1)} {', '.join(listed)}; found {_listed(columns)}"
    fix = "rename" if any("did you mean" in name for name in listed) else "add"
    fix += " it" if len(absent) == 1 else " them"
    return [Defect("columns", what, f"expected {form.shape}", fix)]


def misspelt(form: Form, columns: Sequence[str]) -> dict[str, str]:
    """Columns that are the form's but for case, blanks or underscores, and would be passed over: found -> meant."""
    plain = {_plain(name): name for name in form.columns}
    meant = {column: plain.get(_plain(column), column) for column in columns}
    found = {column: name for column, name in meant.items() if column != name and name not in columns}
    # Single letters may be anything; only those that go on with the options are meant as options.
    letters = {name for name in [*columns, *found.values()] if name in LETTERS}
    run = {letter for place, letter in enumerate(LETTERS) if set(LETTERS[:place]) <= letters}
    return {column: name for column, name in found.items() if name not in LETTERS or name in run}


def _no_form(table: Table, found: list[Form], known: list[Form]) -> Defect:
    listed = f"found the columns {_listed(table.columns)}"
    if found:
        names = " and ".join(form.name for form in found)
        what = f"the columns of the forms {names} in one file; {listed}"
        return Defect("columns", what, "expected one form a file", "make a file of each")
    shapes = " | ".join(f"{form.name}: {form.shape}" for form in known)
    fix = "name the columns so in the first line" if table.header else "rename the columns"
    return Defect("columns", f"not a known multiple-choice form; {listed}", f"known are {shapes}", fix)


def _wrong_types(form: Form, table: Table) -> list[Defect]:
    return [
        Defect("types", f"column {column} must be {form.columns[column]}, found {name}", fix="convert the column")
        for column, (kind, name) in table.types.items()
        if column in form.columns and kind != "null" and kind not in form.columns[column].split(" or ")
    ]


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(shown, columns[:_LISTED])) + (", ..." if len(columns) > _LISTED else "") or "none"


def _near(name: str, columns: Sequence[str]) -> str | None:
    """The column that may be meant by `name`."""
    plain = {_plain(column): column for column in columns}
    for other in (_plain(name), *_OTHER_NAMES.get(name, ())):
        if other in plain:
            return plain[other]
    # Single letters are all alike to difflib.
    near = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.75) if len(name) > 1 else []
    return plain[near[0]] if near else None


def _score(form: Form, columns: Sequence[str]) -> tuple[int, int]:
    """How many of the form's columns are there by name, and how many by something like it."""
    wanted = (*form.needs, form.answer)
    absent = [name for name in wanted if name not in columns]
    return len(wanted) - len(absent), sum(_near(name, columns) is not None for name in absent)


def _plain(name: str) -> str:
    return re.sub(r"[\s_\ufeff]+", "", name).casefold()
