"""MMLU's form on the hub: question, subject, choices, answer counted from 0 (or its letter)."""

from __future__ import annotations

from llmtuner.data.forms.answers import NUMBER
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="mmlu",
    shape="question, subject, choices (a list of texts), answer (counted from 0)",
    question="question",
    options=Choices("choices"),
    needs=("question", "choices", "subject"),
    styles=NUMBER,
    documented=True,
)
