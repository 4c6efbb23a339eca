"""One table for docs/results.md: each step on each set, with the difference to the step before. Shape: model x step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from real import pairs
from real.tables import BASELINES, SETS, baseline_cell, between, difference_cell
from real.titles import title_of_model, title_of_way

BEGIN, END = "<!-- table: real_model.py --summary -->", "<!-- end of table -->"
ROWS = ("steps", "steps_kaggle", "steps_scienceqa")
STEPS = tuple(dict.fromkeys(way for first, second in pairs.STEPS for way in (second, first)))
BEFORE = dict(reversed(pairs.STEPS))  # of several, the first one


def summary(text: str, results: Sequence[Mapping[str, Any]]) -> str:
    """A page with the table of some models' results.

    Raises:
        ValueError: it has no marks.
    """
    return between(text, BEGIN, END, "\n".join([*_table(results), ""]))


def _table(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    sets = [
        (row, name)
        for row in ROWS
        for name in dict.fromkeys(name for result in results for name in result["rows"].get(row, {}))
    ]
    yield f"| model | step | {' | '.join(_title(row, name, results) for row, name in sets)} |"
    yield f"| {' | '.join('---' for _ in range(2 + len(sets)))} |"
    for result in results:
        of_sets = [result["rows"].get(row, {}).get(name) for row, name in sets]
        for way in sorted(STEPS, key=_order):
            cells = [_cell(way, of_set) for of_set in of_sets]
            if any(cells):
                filled = " | ".join(cell or "not run" for cell in cells)
                yield f"| {title_of_model(result['model'])} | {title_of_way(way, 'steps')} | {filled} |"
        for key, title in BASELINES.items():
            cells = [_baseline(key, of_set) for of_set in of_sets]
            if any(cells):
                yield f"| | *{title}* | {' | '.join(cells)} |"


def _order(way: str) -> int:
    """Untrained ways first; then as they follow each other."""
    return -1 if way.startswith("untrained") else STEPS.index(way)


def _title(row: str, name: str, results: Sequence[Mapping[str, Any]]) -> str:
    scored = [result["rows"].get(row, {}).get(name, {"scores": []})["scores"] for result in results]
    seeds = max(len(each["seeds"]) for scores in scored for each in scores)
    return f"{SETS[name]}, {seeds} seed{'s' if seeds > 1 else ''}"


def _cell(way: str, of_set: Mapping[str, Any] | None) -> str:
    if of_set is None:
        return ""
    scored = [each for each in of_set["scores"] if each["way"] == way]
    if not scored:
        return ""
    score = f"{scored[0]['map@3']['mean']:.3f}"
    pair = (way, BEFORE.get(way))
    gains = [each for each in of_set["differences"] if (each["first"][0], each["second"][0]) == pair]
    return f"{score} ({difference_cell(gains[0]['map@3'])})" if gains else score


def _baseline(key: str, of_set: Mapping[str, Any] | None) -> str:
    """A baseline of the only scored file; "" if it has none."""
    if of_set is None:
        return ""
    (baselines,) = of_set["files"].values()
    return baseline_cell(baselines, key) if f"{key}_map@3" in baselines else ""
