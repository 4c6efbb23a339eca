"""The form of ARC and CommonsenseQA on the hub: question, choices {text, label}, answerKey."""

from __future__ import annotations

from llmtuner.data.forms.answers import LETTER
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="ai2",
    shape='question, choices {"text": [...], "label": [...]}, answerKey (a label), optional id',
    question="question",
    options=Choices("choices"),
    needs=("question", "choices", "answerKey"),
    answer="answerKey",
    styles=LETTER,
    documented=True,
    known=frozenset({"question_concept"}),
)
