"""The layouts: how the options of a question become rows of tokens. Their code does not import torch either."""

from __future__ import annotations

from llmtuner.spec.entry import Entry, table

LAYOUTS = table(
    Entry(
        name="shared_prefix",
        code="llmtuner.mcq.layouts.shared_prefix:SharedPrefix",
        help="all options behind one copy of their prefix (default for causal models)",
    ),
    Entry(
        name="per_option",
        code="llmtuner.mcq.layouts.per_option:PerOption",
        help="one row per option (default for encoders)",
    ),
    Entry(
        name="joint",
        code="llmtuner.mcq.layouts.joint:Joint",
        help="one prompt that lists all options by letter",
    ),
)
