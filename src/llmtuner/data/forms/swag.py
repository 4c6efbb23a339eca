"""SWAG's form: startphrase, ending0 to ending3, label counted from 0."""

from __future__ import annotations

from llmtuner.data.forms.form import Form
from llmtuner.data.forms.options import NamedColumns

_ENDINGS = ("ending0", "ending1", "ending2", "ending3")

FORM = Form(
    name="swag",
    shape="startphrase, ending0, ending1, ending2, ending3, label (counted from 0)",
    question="startphrase",
    options=NamedColumns(_ENDINGS),
    needs=("startphrase", *_ENDINGS),
    answer="label",
    styles=("0",),
    documented=True,
    known=frozenset({"sent1", "sent2", "video-id", "gold-source"}),  # parts of startphrase, and names
)
