"""Cosmos QA's form: context, question, answer0 to answer3, label counted from 0."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import NamedColumns

_ANSWERS = ("answer0", "answer1", "answer2", "answer3")

FORM = Form(
    name="cosmosqa",
    shape="context, question, answer0, answer1, answer2, answer3, label (counted from 0), optional id",
    question="question",
    options=NamedColumns(_ANSWERS),
    needs=("question", *_ANSWERS),
    answer="label",
    styles=("0",),
    documented=True,
)
