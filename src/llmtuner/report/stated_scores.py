"""predict_results.json of a prediction: read and checked, once for all readers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from llmtuner.data.predictions import PREDICTIONS, Prediction
from llmtuner.data.problems import quoted, terminal_path
from llmtuner.errors import UserError
from llmtuner.metrics import map_at_k
from llmtuner.spec.model_files import PREDICT_RESULTS

SCORE = "predict_map@3"
_EQUAL = 1e-6  # two ways to sum the same figures
_SHARES = re.compile(r"predict_(map@3|accuracy|top1_accuracy)|floor_.+(?<!_from)")
_BOUNDS = re.compile(r"predict_map@3_(low|high)")


def read_stated(folder: Path) -> dict[str, Any] | None:
    """What a prediction states: its scores if it has answers, its baselines, and more; None without the file.

    Raises:
        UserError: the file is damaged: no JSON object, a figure that is no number, a baseline with one figure of two.
        OSError: it cannot be read.
    """
    path = folder / PREDICT_RESULTS
    if not path.exists():
        return None
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{terminal_path(path)}: not JSON: {error}; predict again") from error
    if not isinstance(stated, dict):
        raise UserError(f"{terminal_path(path)}: expected an object with figures; predict again")
    problem = next(_problems(stated), None)
    if problem is not None:
        name, expected = problem
        value = f"is {quoted(stated[name])}" if name in stated else "is missing"
        raise UserError(f"{terminal_path(path)}: {name} {value}; {expected}; predict again")
    return stated


def _problems(stated: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The names of figures that no run writes, and what is expected."""
    for name, value in stated.items():
        if _SHARES.fullmatch(name) and not (_is_number(value) and 0 <= value <= 1):
            yield name, "expected a number from 0 to 1"
        elif _BOUNDS.fullmatch(name) and not _is_number(value):
            yield name, "expected a number"
        elif _is_outside(value, stated.get(f"{name}_low"), stated.get(f"{name}_high")):
            yield name, f"expected a number within its interval, {name}_low to {name}_high"
        partner = name.replace("_map@3", "_accuracy")
        if name.startswith("floor_") and name.endswith("_map@3") and partner not in stated:
            yield partner, f"{name} is there"


def _is_outside(value: object, low: object, high: object) -> bool:
    """Whether a mean is outside of its own interval, which no run writes."""
    if not (_is_number(value) and _is_number(low) and _is_number(high)):
        return False
    return not low - _EQUAL <= value <= high + _EQUAL


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_stated_score(folder: Path, stated: Mapping[str, Any], predictions: Sequence[Prediction]) -> None:
    """Refuse a stated score that is not that of the predictions beside it.

    Args:
        folder: of the prediction.
        stated: as `read_stated` gives it; without a score, nothing is compared.

    Raises:
        UserError: the two files are of different runs.
    """
    known = [each for each in predictions if each.answer is not None]
    if SCORE not in stated or not known:
        return
    score = map_at_k([each.scores for each in known], [int(each.answer) for each in known if each.answer is not None])
    if abs(score - stated[SCORE]) > _EQUAL:
        raise UserError(
            f"{terminal_path(folder / PREDICT_RESULTS)}: {SCORE} is {stated[SCORE]:.4f}, but {PREDICTIONS} gives "
            f"{score:.4f}: they are of different runs; predict again"
        )
