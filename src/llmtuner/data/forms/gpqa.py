"""GPQA's form: Question, Correct Answer, Incorrect Answer 1 to 3. The options' order is drawn (see `RightAndWrong`)."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import RightAndWrong

_WRONG = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")

FORM = Form(
    name="gpqa",
    shape="Question, Correct Answer, Incorrect Answer 1, 2 and 3, optional Record ID",
    question="Question",
    options=RightAndWrong("Correct Answer", _WRONG),
    needs=("Question", "Correct Answer", *_WRONG),
    answer="",
    id="Record ID",
)
