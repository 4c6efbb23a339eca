"""The form of AI2's own files (ARC, CommonsenseQA, OpenBookQA): question {stem, choices}, answerKey."""

from __future__ import annotations

from llmtuner.data.forms.answers import LETTER
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="ai2_nested",
    shape='question {"stem": ..., "choices": [{"text", "label"}, ...]}, answerKey (a label), optional id',
    question="question.stem",
    options=Choices("question.choices"),
    needs=("question", "answerKey"),
    answer="answerKey",
    styles=LETTER,
    documented=True,
)
