"""The order in which adapters are put on a base model, and which ones belong together. Light: no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from llmtuner.errors import FieldError, UserError
from llmtuner.mcq.settings import CONFIG_NAME, McqSettings, read_settings
from llmtuner.runs.adapter import is_adapter
from llmtuner.runs.base import adapters_below, moved_with


def names_below(adapter: str | os.PathLike[str]) -> tuple[str, ...]:
    """The adapters that one was trained on top of, as it stores them: of stage mcq, its settings; else its manifest."""
    settings = read_settings(adapter)
    return adapters_below(adapter) if settings is None else settings.merged_adapters


def require_all_below(adapters: Sequence[str]) -> None:
    """Refuse an adapter without those that it was trained on top of, or with another number of them.

    Args:
        adapters: all of them, in order; the last one is looked at. Names on the hub are left to peft.

    Raises:
        UserError: with the adapters that belong there.
    """
    below = names_below(adapters[-1]) if adapters and is_adapter(adapters[-1]) else ()
    if below and len(adapters) != len(below) + 1:
        raise UserError(
            f"{adapters[-1]} was trained on top of {', '.join(below)}; pass all of them in this order, wherever they "
            f"are now: `adapters` {','.join([*below, adapters[-1]])}"
        )


def with_lower_adapters(
    settings: McqSettings, adapters: Sequence[str], source: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The given adapters, preceded by the adapters that the last one was trained on top of, which are merged first.

    If as many adapters are given before the last one, the list counts as complete: folders may have moved. Those that
    moved together with the last one need not be given.

    Returns:
        the adapters, and lines for the user

    Raises:
        UserError: the adapters before the one with the head are not those that it was trained on, or one after it has
            no head.
    """
    below = settings.merged_adapters
    if not adapters:
        return (), ()
    if adapters[-1] != source:
        raise FieldError(
            "adapters",
            ",".join(adapters),
            f"{adapters[-1]} has no {CONFIG_NAME}, so it was not trained with the head of {source}, and the scores "
            "would be meaningless; leave it out",
        )
    *front, _ = adapters
    if front:
        _check_front(front, below, source)
    if front or not below:
        return tuple(adapters), ()
    below = tuple(name if Path(name).is_dir() else moved_with(name, source) or name for name in below)
    absent = [adapter for adapter in below if not Path(adapter).is_dir()]
    if absent:
        raise UserError(
            f"{source} was trained on top of {', '.join(below)}, and {', '.join(absent)} is missing; pass all of them "
            f"in this order, wherever they are now: `adapters` {','.join([*below, *adapters])}"
        )
    return (*below, *adapters), (f"{', '.join(below)} merged first, because {source} was trained on top",)


def _check_front(front: Sequence[str], below: Sequence[str], source: str) -> None:
    """Refuse to merge other adapters than those below the trained one."""
    moved = [
        not Path(old).is_dir() or Path(old).resolve() == Path(new).resolve()
        for old, new in zip(below, front, strict=False)
    ]
    if len(front) == len(below) and all(moved):
        return
    trained = f"on top of {', '.join(below)}" if below else "on the base model alone"
    raise FieldError(
        "adapters",
        ",".join([*front, source]),
        f"{source} was trained {trained}, and other adapters in front of it change every score; pass {source} alone, "
        "which names the adapters that it needs",
    )
