"""WinoGrande's form: a sentence with a gap, option1, option2, answer counted from 1 (blank in the test file)."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import NamedColumns

FORM = Form(
    name="winogrande",
    shape="sentence, option1, option2, answer (1 or 2), optional qID",
    question="sentence",
    options=NamedColumns(("option1", "option2")),
    needs=("sentence", "option1", "option2"),
    styles=("1",),
    documented=True,
    id="qID",
)
