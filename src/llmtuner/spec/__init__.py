"""Flags, heads, losses, layouts, poolings, norms, metrics, retrievers: each declared once, with the place of its code.

The parser, `--help`, the checks before a run, the messages that list names and the registries of the engine all derive
from these tables. This room imports only errors and suggest from the project, and never torch; every other room may
import it. An entry's code is imported on demand (`Entry.load`).
"""

from llmtuner.spec.flags import FLAGS
from llmtuner.spec.heads import HEADS
from llmtuner.spec.layouts import LAYOUTS
from llmtuner.spec.losses import LOSSES
from llmtuner.spec.metrics import METRICS
from llmtuner.spec.norms import NORMS
from llmtuner.spec.poolings import POOLINGS
from llmtuner.spec.retrievers import RETRIEVERS

__all__ = ["FLAGS", "HEADS", "LAYOUTS", "LOSSES", "METRICS", "NORMS", "POOLINGS", "RETRIEVERS"]
