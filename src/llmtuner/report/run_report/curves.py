"""What a training logged: its loss and, where it was evaluated, MAP@3 by step."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.data.problems import terminal_path
from llmtuner.errors import UserError
from llmtuner.report.run_report.runs import named_folder
from llmtuner.spec.model_files import TRAINER_LOG as LOG
from llmtuner.spec.model_files import TRAINER_STATE as STATE

MOST_POINTS = 400  # of a curve; a longer one is averaged
LOSS, MAP_3 = "loss", "map@3"

Points = tuple[tuple[float, float], ...]  # step, value


@dataclass(frozen=True, slots=True)
class Training:
    """The curves of a training.

    Args:
        losses: points by what was measured: "training", "evaluation", and the name of each evaluated data set.
        map3: the same for MAP@3.
        source: the file that was read.
    """

    name: str
    losses: Mapping[str, Points]
    map3: Mapping[str, Points]
    source: str


def read_training(argument: str) -> Training:
    """The curves of a training's output folder, DIR or NAME=DIR.

    They are in trainer_state.json; a training that was stopped has one in its checkpoints, and its losses in
    trainer_log.jsonl.

    Raises:
        UserError: no such folder, no log in it, or a log that cannot be read.
    """
    name, folder = named_folder(argument)
    if not folder.is_dir():
        raise UserError(f"--training {terminal_path(folder)}: no such folder; expected the --output_dir of a training")
    states = [path for path in (folder / STATE, *_newest_first(folder)) if path.is_file()]
    if states:
        return _training(name, _history(states[0]), states[0])
    if (folder / LOG).is_file():
        return _training(name, _logged(folder / LOG), folder / LOG)
    raise UserError(
        f"--training {terminal_path(folder)}: has neither {STATE} nor {LOG}; expected the --output_dir of a training"
    )


def _newest_first(folder: Path) -> list[Path]:
    steps = {
        int(match[1]): path for path in folder.iterdir() if (match := re.fullmatch(r"checkpoint-(\d+)", path.name))
    }
    return [steps[step] / STATE for step in sorted(steps, reverse=True)]


def _history(path: Path) -> list[dict[str, Any]]:
    state = _parsed(path.read_text(encoding="utf-8"), path)
    history = state.get("log_history")
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        raise UserError(f"--training {terminal_path(path)}: has no log_history; expected the state of a training")
    return history


def _logged(path: Path) -> list[dict[str, Any]]:
    """The entries of trainer_log.jsonl, with the key `step`; a last line that was cut is left out."""
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(_parsed(line, path))
        except UserError:
            if number < len(lines):
                raise
    return [entry | {"step": entry.get("current_steps")} for entry in entries]


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"--training {terminal_path(path)}: is not JSON: {error}; give a folder with a whole log"
        ) from error
    if not isinstance(value, dict):
        raise UserError(f"--training {terminal_path(path)}: expected an object; give the --output_dir of a training")
    return value


def _training(name: str, history: Sequence[Mapping[str, Any]], path: Path) -> Training:
    losses: dict[str, Points] = {}
    map3: dict[str, Points] = {}
    for key in dict.fromkeys(key for entry in history for key in entry):
        curve = _curve_of(key)
        points = _points(history, key)
        if curve is not None and points:
            (losses if curve[0] == LOSS else map3)[curve[1]] = points
    return Training(name, losses, map3, path.name)


def _curve_of(key: str) -> tuple[str, str] | None:
    """Metric and curve of a logged key: "loss", "eval_loss", "eval_map@3", "eval_exam_map@3"; None for any other."""
    if key == LOSS:
        return LOSS, "training"
    match = re.fullmatch(rf"eval_(?:(.+)_)?({LOSS}|{MAP_3})", key)
    return (match[2], match[1] or "evaluation") if match else None


def _points(history: Iterable[Mapping[str, Any]], key: str) -> Points:
    """The finite values of a key by step, the last one of each step; a resumed training logs a step again."""
    by_step = {
        float(entry["step"]): float(entry[key])
        for entry in history
        if _is_finite(entry.get(key)) and _is_finite(entry.get("step"))
    }
    points = sorted(by_step.items())
    width = math.ceil(len(points) / MOST_POINTS)
    parts = [points[start : start + width] for start in range(0, len(points), width)] if width > 1 else []
    averaged = tuple((part[-1][0], sum(value for _, value in part) / len(part)) for part in parts)
    return averaged or tuple(points)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
