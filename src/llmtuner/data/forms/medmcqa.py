"""MedMCQA's form: question, opa to opd, cop. On the hub cop counts from 0, in the authors' own files from 1."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import NamedColumns

FORM = Form(
    name="medmcqa",
    shape="question, opa, opb, opc, opd, cop (a number), optional id",
    question="question",
    options=NamedColumns(("opa", "opb", "opc", "opd")),
    needs=("question", "opa", "opb", "opc", "opd"),
    answer="cop",
    styles=("0",),
)
