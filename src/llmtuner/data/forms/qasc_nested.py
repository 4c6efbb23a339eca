"""QASC's form in AI2's own files: that of ARC, with two facts, which together are the context."""

from __future__ import annotations

from llmtuner.data.forms.answers import LETTER
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="qasc_nested",
    shape="question {stem, choices}, answerKey (a label), fact1, fact2, optional id",
    question="question.stem",
    options=Choices("question.choices"),
    needs=("question", "answerKey", "fact1", "fact2"),
    answer="answerKey",
    styles=LETTER,
    documented=True,
    contexts=("fact1", "fact2", "context"),
    joined=True,
    known=frozenset({"combinedfact", "formatted_question"}),  # made of the columns that are read
)
