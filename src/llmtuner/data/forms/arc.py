"""ARC's form in evaluation suites: query, choices, gold."""

from __future__ import annotations

from llmtuner.data.forms.form import Draft, Form, RowReader, no_further_checks

COLUMNS = {"query": "text", "choices": "texts", "gold": "whole number", "id": "text or whole number"}


def read(row: RowReader) -> Draft:
    """A row as a draft."""
    options = row.texts("choices")
    return Draft(row.identity(), row.text("query"), options, row.index("gold", len(options)))


SHAPE = "query, choices (a list of texts), gold (counted from 0), optional id"
FORM = Form("arc", SHAPE, COLUMNS, ("query", "choices"), "gold", no_further_checks, read)
