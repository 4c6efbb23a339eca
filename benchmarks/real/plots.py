"""The curve of the row `curve`: MAP@3 against the number of training questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from real.kept import Keeper
from real.runs import STEP, WAYS, Run

Points = list[tuple[int, float]]  # training questions, MAP@3


def curves(runs: Sequence[Run], rows: Mapping[str, Any], keeper: Keeper) -> dict[str, Points]:
    """The points of STEP1 (scored checkpoints), STEP2 and the trained likelihood (evaluations of the training)."""
    points: dict[str, Points] = {}
    of_set = rows.get("curve", {}).get("arc_easy", {"scores": []})
    for each in of_set["scores"]:
        way, _, step = each["way"].partition("_")
        if way == "step1":
            questions = int(step) * STEP if step else len(keeper.questions("arc_easy/train"))
            points.setdefault(way, []).append((questions, each["map@3"]["mean"]))
    for run in runs:
        if run.row == "curve" and run.way in ("step2", "likelihood") and (kept := keeper.get(run)) is not None:
            points[run.way] = [(step * STEP, value) for step, value in kept.points]
    return {way: sorted(each) for way, each in points.items()}


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Draw the curves of a result as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams["svg.hashsalt"] = "llmtuner"  # the same picture from the same points
    figure, axes = plt.subplots(figsize=(7.5, 4.2))
    for way, each in result["curves"].items():
        axes.plot(*zip(*each, strict=True), marker="o", markersize=3.5, label=WAYS[way].title)
    chance = result["rows"]["curve"]["arc_easy"]["files"]["arc_easy/test_300"]["random_map@3"]
    axes.axhline(chance, color="#6b7280", linestyle="--", linewidth=1, label="chance")
    axes.set_xlabel("training questions")
    axes.set_ylabel("MAP@3")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
