"""ScienceQA's form: question, choices, answer; hint and lecture become the context.

`solution` explains the right answer, so it is never read.
"""

from __future__ import annotations

from llmtuner.data.forms.form import Draft, Form, RowReader, no_further_checks

COLUMNS = {
    "question": "text",
    "choices": "texts",
    "answer": "whole number",
    "hint": "text",
    "lecture": "text",
    "id": "text or whole number",
}


def read(row: RowReader) -> Draft:
    """A row as a draft."""
    options = row.texts("choices")
    context = "\n".join(passage for name in ("hint", "lecture") if (passage := row.text(name)).strip())
    return Draft(row.identity(), row.text("question"), options, row.index("answer", len(options)), context)


SHAPE = "question, choices (a list of texts), answer (counted from 0), optional id, hint and lecture"
FORM = Form("scienceqa", SHAPE, COLUMNS, ("question", "choices"), "answer", no_further_checks, read)
