"""Split by question: rows with the same question never land on both sides."""

from __future__ import annotations

import random
from collections.abc import Sequence

from llmtuner.data.normal_form import folded_form
from llmtuner.errors import UserError

NO_SPLIT = 1e-6  # upstream's limit: a `val_size` up to it holds nothing out


def question_key(prompt: str) -> str:
    """The prompt's normal form without differences in case: equal for the same question."""
    return folded_form(prompt)


def split_by_key(keys: Sequence[str], val_size: float, seed: int) -> tuple[list[int], list[int]]:
    """Row numbers of the training and validation parts, each in the order of the input.

    Groups of equal keys are drawn in random order until the validation part has the requested number of rows. A group
    that would exceed that number is skipped, so the part may end up slightly smaller.

    Args:
        val_size: number of rows if above 1, else a share of the rows.
        seed: of the random order.

    Raises:
        UserError: one of the parts would be empty.
    """
    groups: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    target_size = int(val_size) if val_size > 1 else round(val_size * len(keys))
    order = list(groups.values())
    random.Random(seed).shuffle(order)
    validation: list[int] = []
    for rows in order:
        if len(validation) + len(rows) <= target_size:
            validation += rows
    held_out = set(validation)
    training = [row for row in range(len(keys)) if row not in held_out]
    if not validation or not training:
        raise UserError(
            f"`val_size` {val_size:g} leaves {len(training)} rows to train and {len(validation)} to validate, of "
            f"{len(keys)} rows with {len(groups)} different questions; both parts need at least one question"
        )
    return training, sorted(validation)
