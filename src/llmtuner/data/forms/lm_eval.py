"""The form of lm-evaluation-harness: query, choices, gold."""

from __future__ import annotations

from llmtuner.data.forms.answers import NUMBER
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="lm_eval",
    shape="query, choices (a list of texts), gold (counted from 0), optional id and context",
    question="query",
    options=Choices("choices"),
    needs=("query", "choices"),
    answer="gold",
    styles=NUMBER,
    documented=True,
    listed=True,  # AGIEval on the hub has gold: [1]
)
