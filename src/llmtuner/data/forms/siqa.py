"""Social IQa's form: context, question, answerA to answerC, label counted from 1."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import NamedColumns

_ANSWERS = ("answerA", "answerB", "answerC")

FORM = Form(
    name="siqa",
    shape="context, question, answerA, answerB, answerC, label (1, 2 or 3)",
    question="question",
    options=NamedColumns(_ANSWERS),
    needs=("question", *_ANSWERS),
    answer="label",
    styles=("1",),
    documented=True,
)
