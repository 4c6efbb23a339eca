"""GPQA's form: Question, Correct Answer, Incorrect Answer 1 to 3. The options' order is drawn (see `RightAndWrong`)."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import RightAndWrong

_WRONG = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")

# Earlier versions of the question and its answers, and the remarks of those who wrote and checked it.
_VERSIONS = ("Question", "Correct Answer", *_WRONG, "Explanation")
_REMARKS = ("Feedback", "Explanation", "Validator Revision Suggestion", "Websites visited")
_OF_THE_AUTHORS = frozenset(
    (
        *(f"{version} {name}" for version in ("Pre-Revision", "Extra Revised") for name in _VERSIONS),
        *(f"{name}_{group}_{n}" for name in _REMARKS for group in ("EV", "NEV") for n in (1, 2, 3)),
        *("Revision Comments (from Question Writer)", "Writer's Difficulty Estimate", "Canary String"),
    )
)

FORM = Form(
    name="gpqa",
    shape="Question, Correct Answer, Incorrect Answer 1, 2 and 3, optional Record ID",
    question="Question",
    options=RightAndWrong("Correct Answer", _WRONG),
    needs=("Question", "Correct Answer", *_WRONG),
    answer="",
    id="Record ID",
    known=_OF_THE_AUTHORS,
)
