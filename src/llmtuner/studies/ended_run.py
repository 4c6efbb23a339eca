"""The record that a run of a study leaves in its folder when it is done: piece.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmtuner.data.predictions import PREDICTIONS
from llmtuner.errors import UserError
from llmtuner.files import sha256_of_file, write_atomic
from llmtuner.runs.weights import same_tokenizer
from llmtuner.spec.model_files import EVAL_RESULTS, PREDICT_RESULTS, TRAIN_RESULTS

RECORD = "piece.json"
_SCORES = PREDICT_RESULTS, EVAL_RESULTS, TRAIN_RESULTS  # the first that a run has
_OF_THE_MACHINE = ("_runtime", "_per_second")


def figures_of(folder: Path) -> dict[str, Any]:
    """The figures of a run: of its prediction, else of its evaluation, else of its training.

    Raises:
        UserError: the file is damaged.
    """
    path = next((folder / name for name in _SCORES if (folder / name).is_file()), None)
    if path is None:
        return {}
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read: {error}; delete {folder}, and it runs again") from error
    return figures if isinstance(figures, dict) else {}


def write_record(folder: Path, seconds: float, **more: Any) -> None:
    """Record that the run is done, and how it ended.

    Args:
        seconds: of its commands.
        more: further values of the record.
    """
    record = {**more, "seconds": round(seconds, 1), "predictions": _digest(folder), "figures": _lasting(folder)}
    write_atomic(folder / RECORD, json.dumps(record, indent=1) + "\n")


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a run; None if the run is not done.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read: {error}; delete it, and the run starts again") from error
    if not isinstance(record, dict) or not isinstance(record.get("seconds"), (int, float)):
        raise UserError(f"{path}: not the record of a run; delete it, and the run starts again")
    return record


def check_ended(folder: Path, record: Mapping[str, Any]) -> None:
    """Compare predictions and figures with those that the run ended with; earlier versions did not record them.

    Raises:
        UserError: a later run has replaced them, or a file is lost or changed.
    """
    again = "delete the folder, and the run starts again"
    if record.get("predictions") not in (None, _digest(folder)):
        raise UserError(f"{folder}: its predictions are not those that it ended with; {again}")
    if record.get("figures") not in (None, _lasting(folder)):
        raise UserError(
            f"{folder}: its scores are not those that it ended with: {' or '.join(_SCORES[:2])} was lost or changed; "
            f"{again}"
        )


def changed_inputs(stored: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """The names of the inputs that differ from those of an earlier start; earlier versions stored no tokenizer."""
    tokenizer = "tokenizer"
    changed = [name for name, value in inputs.items() if name != tokenizer and stored.get(name) != value]
    before, now = (each.get(tokenizer, "") for each in (stored, inputs))
    return changed if same_tokenizer(before, now) else [*changed, tokenizer]


def _lasting(folder: Path) -> dict[str, Any]:
    """The figures that another machine would have, too."""
    return {name: value for name, value in figures_of(folder).items() if not name.endswith(_OF_THE_MACHINE)}


def _digest(folder: Path) -> str | None:
    """SHA-256 of its predictions; None if it has none."""
    path = folder / PREDICTIONS
    return sha256_of_file(path) if path.is_file() else None
