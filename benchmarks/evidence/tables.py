"""Results as Markdown."""

from __future__ import annotations

from evidence.cells import BASELINE
from evidence.report import Row, Rows
from llmtuner.mcq.heads import HEADS

HEADER = [
    "| head + loss | seeds | MAP@3 | spread | difference to STEP2 [95 %] | its spread | accuracy | NLL | parameters | "
    "{time} |",
    "|---|---|---|---|---|---|---|---|---|---|",
]


def markdown(rows: Rows, exam_baselines: dict[str, dict[str, float]]) -> str:
    """A section for each stage and view. On frozen states a table of differences comes before all figures."""
    compared = sum("difference" in row for row in rows)
    parts = [
        f"{compared} differences, each with its 95 % interval over seeds and questions: about {compared / 20:.0f} of "
        "them exclude 0 by chance alone.",
        "",
    ]
    for stage, exam in dict.fromkeys((row["stage"], row["exam"]) for row in rows):
        shown = [row for row in rows if (row["stage"], row["exam"]) == (stage, exam)]
        table = [*_all_figures(shown, stage), *_baselines(exam_baselines[exam])]
        parts += [f"#### {stage}, {exam}", ""]
        if stage == "frozen":
            summary = f"<details><summary>All figures of {stage}, {exam}</summary>"
            table = [*_at_a_glance(shown), "", summary, "", *table, "", "</details>"]
        parts += [*table, ""]
    return "\n".join(parts)


def _at_a_glance(rows: Rows) -> list[str]:
    heads = [head for head in HEADS if any(row["head"] == head for row in rows)]
    losses = list(dict.fromkeys(row["loss"] for row in rows))  # the loss of the best row first
    row_of = {(row["head"], row["loss"]): row for row in rows}
    lines = [f"| loss | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for loss in losses:
        cells = [_difference(row_of[head, loss]) if (head, loss) in row_of else "" for head in heads]
        lines.append(f"| {loss} | {' | '.join(cells)} |")
    return lines


def _all_figures(rows: Rows, stage: str) -> list[str]:
    time = "processor seconds" if stage == "frozen" else "seconds"
    return [*(line.format(time=time) for line in HEADER), *map(_line, rows)]


def _baselines(baselines: dict[str, float]) -> list[str]:
    lines = []
    for name in ("longest", "random"):
        score, right = baselines[f"floor_{name}_map@3"], baselines[f"floor_{name}_accuracy"]
        lines.append(f"| *{name} option* | | {score:.4f} | | | | {right:.4f} | | | |")
    return lines


def _difference(row: Row) -> str:
    if "difference" in row:
        low, high = row["interval"]
        return f"{row['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
    return f"STEP2, {row['map@3']:.4f}" if (row["head"], row["loss"]) == BASELINE else ""


def _line(row: Row) -> str:
    spread, its_spread, seconds = (
        "" if row.get(name) is None else f"{row[name]:.{digits}f}"
        for name, digits in (("spread", 4), ("difference_spread", 4), ("seconds", 0))
    )
    return (
        f"| {row['head']} + {row['loss']} | {row['seeds']} | {row['map@3']:.4f} | {spread} | {_difference(row)} | "
        f"{its_spread} | {row['accuracy']:.4f} | {row['nll']:.3f} | {row['parameters']:,} | {seconds} |"
    )
