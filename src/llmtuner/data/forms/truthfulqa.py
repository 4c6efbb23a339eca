"""TruthfulQA's form with one right option: question, mc1_targets {choices, labels}."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import MarkedChoices

FORM = Form(
    name="truthfulqa",
    shape='question, mc1_targets {"choices": [...], "labels": [0 or 1, ...]}',
    question="question",
    options=MarkedChoices("mc1_targets"),
    needs=("question", "mc1_targets"),
    answer="",
    known=frozenset({"mc2_targets"}),  # tells the right answers
)
