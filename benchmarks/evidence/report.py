"""The results and their plot: differences to STEP2 with 95 % intervals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evidence.cells import BASELINE, Cell, Result
from evidence.exams import Exam
from llmtuner.data.split import question_key
from llmtuner.metrics import accuracy, baselines, map_at_k, nll, paired_interval

UNSEEN = ", unseen texts"  # after the name of an exam
# Of the heads; a palette for colour-blind readers, too (Okabe and Ito).
COLOURS = {"linear": "#777777", "option_mean": "#e69f00", "duma": "#0072b2", "cduma": "#009e73"}
ORDER = ("frozen", "encoder", "causal", "llm")  # from the fewest trained weights to the most
Row = dict[str, Any]
Rows = list[Row]


def per_question(scores: Sequence[Sequence[float]], answers: Sequence[int]) -> np.ndarray:
    """MAP@3 of each question."""
    return np.array([map_at_k([row], [answer]) for row, answer in zip(scores, answers, strict=True)])


@dataclass(frozen=True)
class View:
    """The test questions of a table: all of an exam, or those whose text is not in its training file."""

    name: str
    exam: Exam
    rows: tuple[int, ...]

    @property
    def answers(self) -> list[int]:
        """The answers of its questions."""
        return [self.exam.test[row].answer or 0 for row in self.rows]

    def of(self, scores: Sequence[Sequence[float]]) -> list[Sequence[float]]:
        """The scores of its questions."""
        return [scores[row] for row in self.rows]

    @property
    def groups(self) -> list[str]:
        """Questions with one text form a group: they are no independent evidence."""
        return [question_key(self.exam.test[row].question) for row in self.rows]


def views(exams: dict[str, Exam]) -> list[View]:
    """Each exam, and its unseen questions if some of its questions are seen."""
    all_views = []
    for name, exam in exams.items():
        all_views.append(View(name, exam, tuple(range(len(exam.test)))))
        unseen = tuple(row for row, seen in enumerate(exam.seen) if not seen)
        if 0 < len(unseen) < len(exam.test):
            all_views.append(View(f"{name}{UNSEEN}", exam, unseen))
    return all_views


class Measured(NamedTuple):
    """A training and the MAP@3 of each test question of its exam."""

    result: Result
    values_Q: np.ndarray


def summarise(results: dict[Cell, Result], exams: dict[str, Exam]) -> Rows:
    """A row for each stage, view and combination; differences are to STEP2 with the same stage, view and seed.

    `map@3` and the other figures are means over seeds; `seconds` is the mean over the trainings on the hardware that
    most cells of the stage ran on. `spread` is the standard deviation of MAP@3 over seeds, `difference_spread` that of
    the differences. The interval resamples questions and the seeds that both combinations have: over questions alone,
    half of all comparisons of a combination with itself would exclude 0.
    """
    answers = {name: View(name, exam, tuple(range(len(exam.test)))).answers for name, exam in exams.items()}
    machines: dict[str, Counter[str]] = defaultdict(Counter)
    groups: dict[tuple[str, str, str, str], dict[int, Measured]] = defaultdict(dict)
    for cell, result in results.items():
        machines[cell.stage][result.machine] += 1
        values = per_question(result.scores, answers[cell.exam])
        groups[cell.stage, cell.exam, cell.head, cell.loss][cell.seed] = Measured(result, values)
    rows: Rows = []
    for view in views(exams):
        for (stage, exam_name, head, loss), by_seed in groups.items():
            if exam_name == view.exam.name:
                row = {"stage": stage, "exam": view.name, "head": head, "loss": loss}
                row |= _figures(view, by_seed, groups.get((stage, exam_name, *BASELINE), {}))
                usual_machine = machines[stage].most_common(1)[0][0]
                times = [one.result.seconds for one in by_seed.values() if one.result.machine == usual_machine]
                rows.append(row | {"seconds": float(np.mean(times)) if times else None})
    return sorted(rows, key=lambda row: (ORDER.index(row["stage"]), row["exam"], -row["map@3"]))


def _figures(view: View, by_seed: dict[int, Measured], baseline: dict[int, Measured]) -> dict[str, Any]:
    answers, questions = view.answers, list(view.rows)
    values = {seed: one.values_Q[questions] for seed, one in by_seed.items()}
    scores = [view.of(one.result.scores) for one in by_seed.values()]
    means = [float(value.mean()) for value in values.values()]
    row: dict[str, Any] = {
        "seeds": len(by_seed),
        "map@3_by_seed": dict(sorted(zip(values, means, strict=True))),
        "map@3": float(np.mean(means)),
        "spread": float(np.std(means, ddof=1)) if len(means) > 1 else None,
        "accuracy": float(np.mean([accuracy(of_seed, answers) for of_seed in scores])),
        "nll": float(np.mean([nll(of_seed, answers) for of_seed in scores])),
        "parameters": next(iter(by_seed.values())).result.parameters,
    }
    shared = sorted(values.keys() & baseline.keys())
    if shared and by_seed is not baseline:
        pairs = [values[seed] - baseline[seed].values_Q[questions] for seed in shared]
        of_seeds = np.mean(pairs, axis=1)
        row |= {"difference": float(of_seeds.mean()), "interval": paired_interval(np.array(pairs), view.groups)}
        row["difference_spread"] = float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else None
    # On frozen states the first seed chooses the learning rate of all seeds.
    tuned = [one.result.more["tuned_map@3"] for one in by_seed.values() if "tuned_map@3" in one.result.more]
    if tuned:
        first = by_seed[min(by_seed)].result.more
        row |= {"tuned_map@3": float(np.mean(tuned)), "learning_rate": first["learning_rate"], "tried": first["tried"]}
    return row


def baselines_of(exams: dict[str, Exam]) -> dict[str, dict[str, float]]:
    """The scores of each view from baselines that need no model."""
    return {
        view.name: baselines([[len(o) for o in view.exam.test[row].options] for row in view.rows], view.answers)
        for view in views(exams)
    }


def result_json(
    command: str, results: dict[Cell, Result], exams: dict[str, Exam], *, threads: int, chosen: Sequence[str] = ()
) -> dict[str, Any]:
    """A comparison as it is stored, with commits and hardware of its trainings.

    Args:
        command: that made it, without the folders of this machine.
        threads: of a training.
        chosen: combinations that the frozen stage chose for whole models.
    """
    return {
        "command": command,
        "commits": sorted({result.commit for result in results.values()}),
        "machines": sorted({result.machine for result in results.values()}),
        "threads": threads,
        "questions": {name: {"train": len(exam.train), "test": len(exam.test)} for name, exam in exams.items()},
        "chosen": list(chosen),
        "floors": baselines_of(exams),
        "rows": summarise(results, exams),
    }


def plot(rows: Rows, path: Path) -> None:
    """Plot differences to STEP2 with their intervals: a panel for each stage and exam, a colour for each head."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [row for row in rows if "difference" in row and not row["exam"].endswith(UNSEEN)]
    if not shown:
        return
    panels = list(dict.fromkeys((row["stage"], row["exam"]) for row in shown))
    losses = {
        panel: list(dict.fromkeys(r["loss"] for r in shown if (r["stage"], r["exam"]) == panel)) for panel in panels
    }
    heights = [len(losses[panel]) + 0.8 for panel in panels]
    size = (8, 0.36 * sum(heights) + 0.3 * len(panels) + 0.8)
    figure, axes = pyplot.subplots(len(panels), 1, figsize=size, squeeze=False, height_ratios=heights, sharex=True)
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        for row in (row for row in shown if (row["stage"], row["exam"]) == panel):
            place = losses[panel].index(row["loss"]) + 0.2 * (list(COLOURS).index(row["head"]) - 1.5)
            axis.plot(row["interval"], [place, place], linewidth=1.2, color=COLOURS[row["head"]])
            axis.plot(row["difference"], place, "o", markersize=3.5, color=COLOURS[row["head"]])
        axis.axvline(0, color="#888888", linewidth=0.8)
        axis.set_yticks(range(len(losses[panel])), losses[panel], fontsize=8)
        axis.set_ylim(len(losses[panel]) - 0.4, -0.6)
        axis.set_title(f"{panel[0]}, {panel[1]}", fontsize=9, loc="left")
        axis.tick_params(axis="x", labelsize=8)
        axis.grid(axis="x", color="#eeeeee")
    axes[-1, 0].set_xlabel("MAP@3 less that of STEP2 (linear + cross_entropy), with 95 % intervals", fontsize=8)
    handles = [pyplot.Line2D([], [], color=colour, marker="o", markersize=3.5) for colour in COLOURS.values()]
    figure.legend(handles, COLOURS, loc="upper right", ncols=len(COLOURS), fontsize=8, frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
