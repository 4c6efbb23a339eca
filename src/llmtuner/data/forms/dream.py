"""DREAM's form on the hub: dialogue (its lines are the context), question, choice, answer (a text)."""

from __future__ import annotations

from llmtuner.data.forms.answers import TEXT
from llmtuner.data.forms.form import CONTEXTS, Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="dream",
    shape="dialogue (a list of lines), question, choice (a list of texts), answer (the text of one), optional id",
    question="question",
    options=Choices("choice"),
    needs=("dialogue", "question", "choice"),
    styles=TEXT,
    documented=True,
    contexts=("dialogue", *CONTEXTS),
)
