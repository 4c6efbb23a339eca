"""Tables and a plot of what was found: differences to STEP2 with their uncertainty, never a bare mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evidence.cells import BASELINE, Cell, Found
from evidence.exams import Exam
from llmtuner.metrics import accuracy, floors, map_at_k, nll, paired_interval

Rows = list[dict[str, Any]]


def per_question(scores: Sequence[Sequence[float]], answers: Sequence[int]) -> np.ndarray:
    """MAP@3 of each question."""
    return np.array([map_at_k([row], [answer]) for row, answer in zip(scores, answers, strict=True)])


def summarise(found: dict[Cell, Found], exams: dict[str, Exam]) -> Rows:
    """A row a stage, exam and combination; differences are to STEP2's of the same stage, exam and seed.

    `map@3` and the others are means over seeds; `spread` is the standard deviation of the seeds' MAP@3. The interval is
    over questions, each question's difference being the mean over the seeds that both combinations have.
    """
    groups: dict[tuple[str, str, str, str], dict[int, Found]] = defaultdict(dict)
    for cell, result in found.items():
        groups[cell.stage, cell.exam, cell.head, cell.loss][cell.seed] = result
    rows: Rows = []
    for (stage, exam_name, head, loss), by_seed in groups.items():
        exam = exams[exam_name]
        answers = [question.answer or 0 for question in exam.test]
        baseline = groups.get((stage, exam_name, *BASELINE), {})
        values = {seed: per_question(result.scores, answers) for seed, result in by_seed.items()}
        means = [float(value.mean()) for value in values.values()]
        row = {
            "stage": stage,
            "exam": exam_name,
            "head": head,
            "loss": loss,
            "seeds": len(by_seed),
            "map@3": float(np.mean(means)),
            "spread": float(np.std(means, ddof=1)) if len(means) > 1 else None,
            "accuracy": float(np.mean([accuracy(result.scores, answers) for result in by_seed.values()])),
            "nll": float(np.mean([nll(result.scores, answers) for result in by_seed.values()])),
            "seconds": float(np.mean([result.seconds for result in by_seed.values()])),
            "parameters": next(iter(by_seed.values())).parameters,
        }
        shared = sorted(values.keys() & baseline.keys())
        if shared and (head, loss) != BASELINE:
            differences = np.mean([values[s] - per_question(baseline[s].scores, answers) for s in shared], axis=0)
            row["difference"], row["interval"] = float(differences.mean()), paired_interval(differences)
            unseen = ~np.array(exam.seen)
            if not unseen.all():
                row["difference_unseen"] = float(differences[unseen].mean())
                row["interval_unseen"] = paired_interval(differences[unseen])
        if any(exam.seen):
            unseen = ~np.array(exam.seen)
            row["map@3_unseen"] = float(np.mean([value[unseen].mean() for value in values.values()]))
        rows.append(row)
    return sorted(rows, key=lambda row: (row["stage"], row["exam"], -row["map@3"]))


def floors_of(exams: dict[str, Exam]) -> dict[str, dict[str, float]]:
    """What each exam gives without being read."""
    return {
        name: floors([[len(o) for o in q.options] for q in exam.test], [q.answer or 0 for q in exam.test])
        for name, exam in exams.items()
    }


def markdown(rows: Rows, exam_floors: dict[str, dict[str, float]]) -> str:
    """One table a stage and exam."""
    parts = []
    for stage, exam in dict.fromkeys((row["stage"], row["exam"]) for row in rows):
        parts += [f"### {stage}, {exam}", "", "| head + loss | seeds | MAP@3 | spread | difference to STEP2 [95 %] |"]
        parts[-1] += " accuracy | NLL | parameters | seconds |"
        parts.append("|---|---|---|---|---|---|---|---|---|")
        for row in rows:
            if (row["stage"], row["exam"]) == (stage, exam):
                parts.append(_line(row))
        floor = exam_floors[exam]
        for name in ("longest", "random"):
            score, right = floor[f"floor_{name}_map@3"], floor[f"floor_{name}_accuracy"]
            parts.append(f"| *{name} option* | | {score:.4f} | | | {right:.4f} | | | |")
        parts.append("")
    return "\n".join(parts)


def _line(row: dict[str, Any]) -> str:
    difference = "STEP2"
    if "difference" in row:
        low, high = row["interval"]
        difference = f"{row['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
    elif (row["head"], row["loss"]) != BASELINE:
        difference = ""
    spread = "" if row["spread"] is None else f"{row['spread']:.4f}"
    return (
        f"| {row['head']} + {row['loss']} | {row['seeds']} | {row['map@3']:.4f} | {spread} | {difference} | "
        f"{row['accuracy']:.4f} | {row['nll']:.3f} | {row['parameters']:,} | {row['seconds']:.0f} |"
    )


def plot(rows: Rows, path: Path) -> None:
    """Differences to STEP2 with their intervals, a panel a stage and exam."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = list(dict.fromkeys((row["stage"], row["exam"]) for row in rows if "difference" in row))
    heights = [sum("difference" in row and (row["stage"], row["exam"]) == panel for row in rows) for panel in panels]
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(8, 1.2 * len(panels) + 0.21 * sum(heights)), squeeze=False, height_ratios=heights
    )
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        shown = [row for row in rows if "difference" in row and (row["stage"], row["exam"]) == panel][::-1]
        middle = [row["difference"] for row in shown]
        low, high = zip(*(row["interval"] for row in shown), strict=True)
        errors = [np.array(middle) - low, np.array(high) - middle]
        axis.errorbar(middle, range(len(shown)), xerr=errors, fmt="o", markersize=3, linewidth=1, color="#1f4e79")
        axis.axvline(0, color="#888888", linewidth=0.8)
        axis.set_yticks(range(len(shown)), [f"{row['head']} + {row['loss']}" for row in shown], fontsize=7)
        axis.set_title(f"{panel[0]}, {panel[1]}: MAP@3 against STEP2 (linear + cross_entropy), 95 %", fontsize=9)
        axis.tick_params(axis="x", labelsize=7)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
