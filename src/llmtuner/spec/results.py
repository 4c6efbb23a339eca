"""Which files with results a training ends with, by its flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmtuner.spec.model_files import EVAL_RESULTS, PREDICT_RESULTS

Setting = Callable[[str], Any]  # a flag's value by its name


def evaluates(setting: Setting) -> bool:
    """Whether a run evaluates: transformers adds --do_eval to every --eval_strategy."""
    return bool(setting("do_eval")) or setting("eval_strategy") not in (None, "no")


def results_of(setting: Setting) -> tuple[str, ...]:
    """The files with the figures of what follows a training."""
    has_questions = setting("val_size") or setting("eval_dataset")
    evaluated = (EVAL_RESULTS,) if evaluates(setting) and has_questions else ()
    return (*evaluated, *((PREDICT_RESULTS,) if setting("do_predict") else ()))
