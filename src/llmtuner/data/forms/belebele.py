"""Belebele's form: flores_passage (the context), question, mc_answer1 to mc_answer4, correct_answer_num from 1."""

from __future__ import annotations

from llmtuner.data.forms.form import CONTEXTS, Form
from llmtuner.data.forms.options import NamedColumns

_ANSWERS = ("mc_answer1", "mc_answer2", "mc_answer3", "mc_answer4")

FORM = Form(
    name="belebele",
    shape="flores_passage, question, mc_answer1 to mc_answer4, correct_answer_num (counted from 1)",
    question="question",
    options=NamedColumns(_ANSWERS),
    needs=("flores_passage", "question", *_ANSWERS),
    answer="correct_answer_num",
    styles=("1",),
    documented=True,
    contexts=("flores_passage", *CONTEXTS),
    known=frozenset({"link"}),
)
