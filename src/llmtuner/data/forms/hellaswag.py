"""HellaSwag's form: ctx, endings, label counted from 0 (as a text on the hub, blank in the test file)."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import Choices

FORM = Form(
    name="hellaswag",
    shape="ctx, endings (a list of texts), label (counted from 0)",
    question="ctx",
    options=Choices("endings"),
    needs=("ctx", "endings"),
    answer="label",
    styles=("0",),
    documented=True,
    known=frozenset({"ctx_a", "ctx_b", "activity_label", "source_id"}),  # parts of ctx, and names
)
