"""C-Eval's form, and that of many CSV files: question, one column for each option, answer."""

from __future__ import annotations

from llmtuner.data.forms.answers import LETTER
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import LetterColumns

FORM = Form(
    name="ceval",
    shape="question, A, B, ... (2 to 10 options), answer (a letter), optional id and context",
    question="question",
    options=LetterColumns(),
    needs=("question", "A", "B"),
    styles=LETTER,
    documented=True,
)
