"""The data format "mcq": a checked question becomes upstream's user turn and answer; the question itself stays too.

Upstream: `llamafactory.data.converter.register_dataset_converter`, public since 0.9.2, and its table
`DATASET_CONVERTERS`.
Stays: this is upstream's own way to add a format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmtuner.data.prompt import build_pieces, compose_joint, render
from patches.dataset_files import COLUMN, as_question
from patches.seam import Seam

SEAM = Seam("llamafactory.data.converter", "register_dataset_converter", ("name", "dataset_converter"))


def apply() -> None:
    """Register the format, once."""
    from llamafactory.data import converter

    if "mcq" not in converter.DATASET_CONVERTERS:
        SEAM.original()("mcq", MCQDatasetConverter)


@dataclass
class MCQDatasetConverter:
    """Upstream's converter interface: a row in, the standard columns out."""

    dataset_attr: Any
    data_args: Any

    def __call__(self, example: dict[str, Any]) -> dict[str, Any]:
        """The joint prompt as text. The tokens come from the question, not from this text (dataset_encoding)."""
        question = as_question(example)
        pieces = build_pieces(question)
        parts = compose_joint(len(question.options), with_context=bool(question.context))
        return {
            "_prompt": [{"role": "user", "content": render(parts, pieces)}],
            "_response": [{"role": "assistant", "content": question.answer_letter or ""}],
            "_system": "",
            "_tools": "",
            "_images": None,
            "_videos": None,
            "_audios": None,
            COLUMN: example,
        }
