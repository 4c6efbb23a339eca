"""AQuA-RAT's form: question, options that begin with their letter, correct. Its rationale is never read."""

from __future__ import annotations

from llmtuner.data.forms.answers import LETTER
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="aqua",
    shape='question, options (a list of texts, "A)..."), rationale, correct (a letter)',
    question="question",
    options=Choices("options", marked=True),
    needs=("question", "options", "rationale", "correct"),
    answer="correct",
    styles=LETTER,
    documented=True,
)
