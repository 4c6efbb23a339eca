"""Kaggle's form: prompt, one column for each option with its letter as name, and the answer's letter."""

from __future__ import annotations

from llmtuner.data.forms.answers import LETTER
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import LetterColumns

FORM = Form(
    name="kaggle",
    shape="prompt, A, B, ... (2 to 10 options), answer (a letter), optional id and context",
    question="prompt",
    options=LetterColumns(),
    needs=("prompt", "A", "B"),
    styles=LETTER,
    documented=True,
)
