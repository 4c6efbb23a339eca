"""ScienceQA's form: question, choices, answer; hint and lecture together are the context.

`solution` explains the right answer, so it is never read.
"""

from __future__ import annotations

from llmtuner.data.forms.answers import NUMBER
from llmtuner.data.forms.form import CONTEXTS, Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="scienceqa",
    shape="question, choices (a list of texts), hint, lecture, answer (counted from 0), optional id",
    question="question",
    options=Choices("choices"),
    needs=("question", "choices", "hint", "lecture"),
    styles=NUMBER,
    documented=True,
    contexts=("hint", "lecture", *(name for name in CONTEXTS if name not in ("hint", "lecture"))),
    joined=True,
)
