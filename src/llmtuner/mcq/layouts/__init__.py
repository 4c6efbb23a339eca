"""One layout per file. Adding one: CONTRIBUTING.md. Nothing here imports torch: rows are lists of numbers.

Legend: B rows, T tokens of a row.
"""

from __future__ import annotations

from llmtuner.mcq.layouts.base import Layout
from llmtuner.spec.layouts import LAYOUTS


def layout_of(name: str) -> type[Layout]:
    """The layout with this name."""
    return LAYOUTS[name].load()
