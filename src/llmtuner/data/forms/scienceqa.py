"""ScienceQA's form: question, choices, answer, with hint and lecture as context.

`solution` explains the right answer and is never read.
"""

from __future__ import annotations

from llmtuner.data.forms.form import Draft, Form, Row, nothing_more

COLUMNS = {
    "question": "text",
    "choices": "texts",
    "answer": "whole number",
    "hint": "text",
    "lecture": "text",
    "id": "text or whole number",
}


def read(row: Row) -> Draft:
    """One row."""
    options = row.texts("choices")
    context = "\n".join(passage for name in ("hint", "lecture") if (passage := row.text(name)).strip())
    return Draft(row.identity(), row.text("question"), options, row.index("answer", len(options)), context)


SHAPE = "question, choices (a list of texts), answer (counted from 0), optional id, hint and lecture"
FORM = Form("scienceqa", SHAPE, COLUMNS, ("question", "choices"), "answer", nothing_more, read)
