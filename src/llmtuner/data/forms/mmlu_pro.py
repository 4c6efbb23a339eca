"""MMLU-Pro's form: question, options, answer_index counted from 0, and the same answer as a letter."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="mmlu_pro",
    shape="question, options (a list of texts), answer_index (counted from 0), answer (a letter), optional question_id",
    question="question",
    options=Choices("options", padding="N/A"),
    needs=("question", "options", "answer_index"),
    answer="answer_index",
    styles=("0",),
    documented=True,
    id="question_id",
    second_answer=("answer", "letter"),
)
