"""KMMLU's form: question, A to D, answer counted from 1, Category, Human Accuracy."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import LetterColumns

FORM = Form(
    name="kmmlu",
    shape="question, A, B, C, D, answer (counted from 1), Category, Human Accuracy",
    question="question",
    options=LetterColumns(),
    needs=("question", "A", "B", "Category", "Human Accuracy"),
    styles=("1",),
    documented=True,
)
