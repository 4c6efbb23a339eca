"""ARC's form as evaluation suites ship it: query, choices, gold."""

from __future__ import annotations

from typing import Any

from llmtuner.data.forms.form import Draft, Form, identity, index, missing, text, texts

COLUMNS = {"query": "text", "choices": "texts", "gold": "whole number", "id": "any"}


def recognise(columns: tuple[str, ...]) -> bool:
    """A query is enough to know it by."""
    return "query" in columns


def check(columns: tuple[str, ...]) -> list[str]:
    """Missing columns."""
    return missing(columns, ("query", "choices"))


def read(record: dict[str, Any]) -> Draft:
    """One row."""
    options = texts(record, "choices")
    return Draft(identity(record), text(record, "query"), options, index(record, "gold", options))


FORM = Form("arc", COLUMNS, recognise, check, read, answer="gold")
