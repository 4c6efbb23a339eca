"""The engine of multiple-choice models: layouts, heads, losses, training and scoring. Public names: `__all__`.

    from llmtuner.mcq import load_scorer
    scorer = load_scorer("mcq_checkpoint")
    predictions = scorer.score(questions)

Needs only torch, transformers and peft. Importing this package is light; its names are imported on first use.
docs/python.md has examples.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmtuner.mcq.choices import resolve
    from llmtuner.mcq.objective import Objective
    from llmtuner.mcq.run import McqRun, RunData, resolve_run
    from llmtuner.mcq.scorer import OptionScorer, load_scorer
    from llmtuner.mcq.settings import McqSettings, read_settings, write_settings
    from llmtuner.mcq.trainer import McqTrainer
    from llmtuner.mcq.training import train

_PUBLIC = {
    "McqRun": "run",
    "McqSettings": "settings",
    "McqTrainer": "trainer",
    "Objective": "objective",
    "OptionScorer": "scorer",
    "RunData": "run",
    "load_scorer": "scorer",
    "read_settings": "settings",
    "resolve": "choices",
    "resolve_run": "run",
    "train": "training",
    "write_settings": "settings",
}
__all__ = [
    "McqRun",
    "McqSettings",
    "McqTrainer",
    "Objective",
    "OptionScorer",
    "RunData",
    "load_scorer",
    "read_settings",
    "resolve",
    "resolve_run",
    "train",
    "write_settings",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
