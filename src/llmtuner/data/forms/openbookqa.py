"""OpenBookQA's form on the hub: question_stem, choices {text, label}, answerKey; fact1 is the context."""

from __future__ import annotations

from llmtuner.data.forms.answers import LETTER
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="openbookqa",
    shape='question_stem, choices {"text": [...], "label": [...]}, answerKey (a label), optional id and fact1',
    question="question_stem",
    options=Choices("choices"),
    needs=("question_stem", "choices"),
    answer="answerKey",
    styles=LETTER,
    documented=True,
)
