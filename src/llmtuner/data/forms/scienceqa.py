"""ScienceQA's form: question, choices, answer, with hint and lecture as context.

`solution` explains the right answer and is never read.
"""

from __future__ import annotations

from typing import Any

from llmtuner.data.forms.form import Draft, Form, identity, index, missing, text, texts

COLUMNS = {
    "question": "text",
    "choices": "texts",
    "answer": "whole number",
    "hint": "text",
    "lecture": "text",
    "id": "any",
}


def recognise(columns: tuple[str, ...]) -> bool:
    """A question with choices."""
    return "question" in columns and "query" not in columns


def check(columns: tuple[str, ...]) -> list[str]:
    """Missing columns."""
    return missing(columns, ("question", "choices"))


def read(record: dict[str, Any]) -> Draft:
    """One row."""
    options = texts(record, "choices")
    passages = (text(record, "hint"), text(record, "lecture"))
    context = "\n".join(passage for passage in passages if passage.strip())
    return Draft(identity(record), text(record, "question"), options, index(record, "answer", options), context)


FORM = Form("scienceqa", COLUMNS, recognise, check, read, answer="answer")
