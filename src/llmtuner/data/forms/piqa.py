"""PIQA's form: goal, sol1, sol2, label counted from 0."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import NamedColumns

FORM = Form(
    name="piqa",
    shape="goal, sol1, sol2, label (0 or 1), optional id",
    question="goal",
    options=NamedColumns(("sol1", "sol2")),
    needs=("goal", "sol1", "sol2"),
    answer="label",
    styles=("0",),
    documented=True,
)
