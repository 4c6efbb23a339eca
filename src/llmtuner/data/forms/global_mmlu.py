"""The form of Global-MMLU and INCLUDE: question, option_a to option_d, answer."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import NamedColumns

_OPTIONS = ("option_a", "option_b", "option_c", "option_d")

FORM = Form(
    name="global_mmlu",
    shape="question, option_a, option_b, option_c, option_d, answer (a letter, or counted from 0), optional sample_id",
    question="question",
    options=NamedColumns(_OPTIONS),
    needs=("question", *_OPTIONS),
    id="sample_id",
)
