"""SciQ's form: question, correct_answer, distractor1 to 3, support. The options' order is drawn (`RightAndWrong`)."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import RightAndWrong

_WRONG = ("distractor1", "distractor2", "distractor3")

FORM = Form(
    name="sciq",
    shape="question, correct_answer, distractor1, distractor2, distractor3, optional support (the context)",
    question="question",
    options=RightAndWrong("correct_answer", _WRONG),
    needs=("question", "correct_answer", *_WRONG),
    answer="",
)
