"""MMLU-Redux's form: that of MMLU, with the error that a reader saw in each row; its `answer` is still MMLU's."""

from __future__ import annotations

from llmtuner.data.forms.answers import NUMBER
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="mmlu_redux",
    shape="question, choices (a list of texts), answer (counted from 0), error_type (ok, or what is wrong)",
    question="question",
    options=Choices("choices"),
    needs=("question", "choices", "error_type"),
    styles=NUMBER,
    documented=True,
    doubts="error_type",
    known=frozenset({"correct_answer", "potential_reason", "source"}),
)
