"""ReClor's form: context, question, answers, label counted from 0."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="reclor",
    shape="context, question, answers (a list of texts), label (counted from 0), optional id_string",
    question="question",
    options=Choices("answers"),
    needs=("context", "question", "answers"),
    answer="label",
    styles=("0",),
    documented=True,
    id="id_string",
)
