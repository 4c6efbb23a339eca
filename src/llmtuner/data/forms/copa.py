"""COPA's form in SuperGLUE, and XCOPA's: premise (the context), question (cause or effect), choice1, choice2, label."""

from __future__ import annotations

from llmtuner.data.forms.form import CONTEXTS, Form
from llmtuner.data.forms.options import NamedColumns

FORM = Form(
    name="copa",
    shape="premise, question (cause or effect), choice1, choice2, label (0 or 1), optional idx",
    question="question",
    options=NamedColumns(("choice1", "choice2")),
    needs=("premise", "question", "choice1", "choice2"),
    answer="label",
    styles=("0",),
    documented=True,
    contexts=("premise", *CONTEXTS),
    id="idx",
)
