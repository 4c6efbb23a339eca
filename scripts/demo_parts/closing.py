"""The demo's last three sentences: what was seen, what it means, what to run next. They follow from its figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from demo_parts.runs import EXAM, LanguageModel
from llmtuner.data.predictions import read_predictions
from llmtuner.metrics import map_at_k, paired_interval

Figures = Mapping[str, float]


def closing(out: Path, model: LanguageModel) -> list[str]:
    """The line about the harder exam, and the three sentences."""
    exam = _figures(out / EXAM)
    level = f"{exam['predict_map@3']:.3f} [{exam['predict_map@3_low']:.3f}, {exam['predict_map@3_high']:.3f}]"
    harder = f"The harder exam (126 test questions with passages): {model.label}, untrained, MAP@3 {level}"
    chance = exam["floor_random_map@3"]
    verdict = f"chance is {chance:.3f}, so it is {'above' if _is_above_chance(exam) else 'not above'} chance."
    facts = {name: difference(out / f"{name}_predict", out / "closed_predict") for name in ("given", "searched")}
    return [
        f"{harder}; {verdict}",
        "",
        f"Seen: {_seen(out, facts)}",
        f"Meaning: {_meaning(model, out, facts['given'])}",
        "Next: check your own file (python scripts/audit_mcq.py FILE), then train on it "
        "(MODEL=FOLDER DATASET=FILE bash scripts/step2_mcq.sh).",
    ]


def difference(folder: Path, other: Path) -> tuple[float, float, float]:
    """MAP@3 of a prediction minus that of another one of the same questions, with the ends of its 95 % interval."""
    first, second = _by_question(folder), _by_question(other)
    values = [first[key] - second[key] for key in first]
    return sum(values) / len(values), *paired_interval(values)


def _seen(out: Path, facts: Mapping[str, tuple[float, float, float]]) -> str:
    steps = {f"STEP{number}": _figures(out / f"step{number}_predict") for number in (1, 2, 3)}
    scores = ", ".join(f"{step} {figures['predict_map@3']:.3f}" for step, figures in steps.items())
    given, searched = ("{:+.3f} [{:+.3f}, {:+.3f}]".format(*facts[name]) for name in ("given", "searched"))
    return (
        f"a question's fact changes the untrained model's MAP@3 by {given}, the facts that a search finds by "
        f"{searched}; trained with the facts: {scores}."
    )


def _meaning(model: LanguageModel, out: Path, facts: tuple[float, float, float]) -> str:
    if not model.pretrained:
        return "a random model knows nothing: its rows show only that the commands work; `make setup` installs SmolLM2."
    _, low, high = difference(out / "step2_predict", out / "given_predict")
    trained = "raises" if low > 0 else "lowers" if high < 0 else "does not clearly change"
    given = "is what helps most where it can be had" if facts[1] > 0 else "does not clearly help here"
    return (
        f"a passage that holds the answer {given}; training a classifier on 120 questions {trained} the score of the "
        "untrained model with the same passages."
    )


def _is_above_chance(figures: Figures) -> bool:
    return figures["predict_map@3_low"] > figures["floor_random_map@3"]


def _figures(folder: Path) -> dict[str, float]:
    return json.loads((folder / "predict_results.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def _by_question(folder: Path) -> dict[str, float]:
    predictions = read_predictions(folder / "predictions.jsonl")
    return {p.id: map_at_k([p.scores], [p.answer]) for p in predictions if p.answer is not None}
