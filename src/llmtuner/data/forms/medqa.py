"""MedQA's form: question, options {letter: text}, answer_idx (a letter), and the same answer as a text."""

from __future__ import annotations

from llmtuner.data.forms.answers import LETTER
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="medqa",
    shape='question, options {"A": ..., "B": ...}, answer_idx (a letter), answer (its text)',
    question="question",
    options=Choices("options"),
    needs=("question", "options", "answer_idx"),
    answer="answer_idx",
    styles=LETTER,
    documented=True,
    known=frozenset({"metamap_phrases"}),
    second_answer=("answer", "text"),
)
