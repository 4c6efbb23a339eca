"""Columns that are not read: a passage that is lost in silence, and texts that would give the answer away."""

from __future__ import annotations

from llmtuner.data.forms.form import REVEALING, Form
from llmtuner.data.forms.mapped import ColumnNames
from llmtuner.data.problems import Problem, quoted
from llmtuner.data.table import Table

LONG = 40  # characters on average: a passage, not a name, a date or a subject


def unused_columns(table: Table, form: Form, file: str) -> list[Problem]:
    """One warning for each unused column of long texts, and one for all columns that explain the right answer."""
    read = {*form.columns, *form.known}
    unread = [column for column in table.columns if column not in read and not column.startswith("Unnamed:")]
    revealing = [column for column in unread if column.casefold().replace(" ", "_") in REVEALING]
    warnings = []
    if revealing:
        names = ", ".join(map(quoted, revealing))
        what = f"never used, because it explains the right answer: {names}"
        warnings.append(Problem(file, table.header, what, kind="unused"))
    for column in unread:
        length = 0.0 if column in revealing else _mean_length(table, column)
        if length > LONG:
            what = f"column {quoted(column)} is not used: texts of {length:,.0f} characters on average"
            query = ColumnNames(context=column).as_query()
            fix = (
                f'to use it as the context, add ?{query} to the path, or "columns": {{"context": ...}} to the registry'
            )
            warnings.append(Problem(file, table.header, what, fix=fix, kind="unused"))
    return warnings


def _mean_length(table: Table, column: str) -> float:
    """Characters of a column's texts, over the rows that have one."""
    lengths = [len(value) for _, record in table.records if isinstance(value := record.get(column), str) and value]
    return sum(lengths) / len(lengths) if lengths else 0.0
