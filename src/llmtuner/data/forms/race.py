"""RACE's form on the hub: article, question, options, answer. Its example_id names the article, not the question."""

from __future__ import annotations

from llmtuner.data.forms.answers import LETTER
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="race",
    shape="example_id, article, question, options (a list of texts), answer (a letter)",
    question="question",
    options=Choices("options"),
    needs=("example_id", "article", "question", "options"),
    styles=LETTER,
    documented=True,
)
