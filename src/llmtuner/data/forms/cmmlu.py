"""CMMLU's form: Question, one column for each option, Answer."""

from __future__ import annotations

from llmtuner.data.forms.answers import LETTER
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import LetterColumns

FORM = Form(
    name="cmmlu",
    shape="Question, A, B, ... (2 to 10 options), Answer (a letter)",
    question="Question",
    options=LetterColumns(),
    needs=("Question", "A", "B"),
    answer="Answer",
    styles=LETTER,
    documented=True,
)
