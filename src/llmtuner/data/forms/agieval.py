"""AGIEval's form: passage, question, options that begin with "(A)", label."""

from __future__ import annotations

from llmtuner.data.forms.answers import LETTER
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="agieval",
    shape='passage, question, options (a list of texts, "(A)..."), label (a letter)',
    question="question",
    options=Choices("options", marked=True),
    needs=("passage", "question", "options", "label"),
    answer="label",
    styles=LETTER,
    documented=True,
    known=frozenset({"other"}),  # the source, or a solution
)
