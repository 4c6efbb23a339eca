"""LogiQA's form on the hub: context, query, options, correct_option counted from 0."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="logiqa",
    shape="context, query, options (a list of texts), correct_option (counted from 0)",
    question="query",
    options=Choices("options"),
    needs=("query", "options", "correct_option"),
    answer="correct_option",
    styles=("0",),
    documented=True,
)
