"""The plain form of many files: question, choices, answer. Nothing says whether its numbers count from 0."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="choices",
    shape="question, choices (a list of texts), answer (counted from 0, a letter, or a text), optional id and context",
    question="question",
    options=Choices("choices"),
    needs=("question", "choices"),
)
