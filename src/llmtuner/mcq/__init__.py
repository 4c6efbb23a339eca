"""The engine of multiple-choice models: layouts, heads, losses, training and scoring.

    from llmtuner.mcq import load_scorer
    scorer = load_scorer("mcq_checkpoint")
    predictions = scorer.score(questions)

Needs torch, transformers and peft only. Importing this package is light; its names are imported when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PUBLIC = {"load_scorer": "scorer", "OptionScorer": "scorer", "McqSettings": "settings", "McqTrainer": "trainer"}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
