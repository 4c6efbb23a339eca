"""A report as one self-contained HTML page: it loads nothing, and every text of the data stays text.

The page has two script elements: the questions as JSON, and report.js, which shows them with `textContent`. A policy in
the page allows this script and the style sheet by their hashes, and nothing else, so that no text of the data could run
or load anything even if it became markup.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.report.run_report import charts
from llmtuner.report.run_report.browser_data import LONGEST_PASSAGE, browser_data
from llmtuner.report.run_report.collect import Report, baseline_figures
from llmtuner.report.run_report.curves import Points, Training
from llmtuner.report.run_report.figures import (
    Answered,
    Difference,
    Grouping,
    Score,
    calibration_bins,
    chosen_places,
    confusion,
    differences,
    groupings,
    run_scores,
)
from llmtuner.report.run_report.runs import CHANCE
from llmtuner.report.summary import baseline_rows, without_last_bits

IN_ONE_CHART = 4  # runs
TEMPLATE, STYLE, SCRIPT = "report.html.j2", "report.css", "report.js"


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its heading, and the names of its curves if there are several."""

    title: str
    svg: Any
    names: tuple[str, ...] = ()
    note: str = ""


def render_report(report: Report) -> str:
    """The page's HTML. The same report gives the same page.

    Raises:
        ImportError: jinja2 is not installed.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _figure, "signed": _signed, "interval": _interval, "count": _count}
    style, script = ((folder / name).read_text(encoding="utf-8") for name in (STYLE, SCRIPT))
    data = browser_data(report.runs, report.answers, report.texts)
    page = environment.get_template(TEMPLATE).render(
        report=report,
        names=[run.name for run in report.runs],
        facts=_facts(report),
        policy=_policy(style, script),
        style=_safe(style),
        script=_safe(script),
        data=_safe(data.json),
        passage_limit=data.passage_limit if data.passage_limit < LONGEST_PASSAGE else None,
        trainings=[_training_section(training) for training in report.trainings],
        several=len(report.runs) > 1,
        **_scored_sections(report),
    )
    # JSON can hold half a character (a lone surrogate), UTF-8 cannot.
    return re.sub("[\ud800-\udfff]", "\ufffd", page)


def _policy(style: str, script: str) -> str:
    """The content security policy: this style sheet and this script, no network, no form, no other base address."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; base-uri 'none'; "
        "form-action 'none'"
    )


def _scored_sections(report: Report) -> dict[str, Any]:
    """What needs answers; without any, what can be shown instead."""
    if not report.answered:
        charted = [*_confidence_charts(report), *_chosen_charts(report)]
        return {"scores": [], "baselines": [], "chance": None, "pairs": [], "groupings": [], "charts": charted}
    answered = [Answered.of(run.predictions, report.answers) for run in report.runs]
    models = baseline_figures(report)
    chance = {without_last_bits(figures[CHANCE]) for figures in models.values()}
    level = chance.pop() if len(chance) == 1 else None
    scores = [run_scores(run.name, each) for run, each in zip(report.runs, answered, strict=True)]
    return {
        "scores": [
            (each, _safe(charts.interval_bar(each.map3.value, each.map3.interval, number, level)))
            for number, each in enumerate(scores)
        ],
        "baselines": [
            (row, _safe(charts.interval_bar(row.map3, row.interval, 0, level))) for row in baseline_rows(models)
        ],
        "chance": level,
        # A single question has no spread: its interval would look certain.
        "pairs": list(_pairs(differences(answered))) if report.answered > 1 else [],
        "groupings": [_grouping(each) for each in groupings(answered, report.predictions, report.texts)],
        "charts": [*_calibration_charts(report, answered), *_confusion_charts(report)],
    }


def _pairs(pairs: Sequence[Difference]) -> Iterator[tuple[Difference, Any]]:
    bounds = [abs(bound) for pair in pairs for bound in (pair.map3.interval or ())]
    widest = max([*bounds, 0.01])
    for pair in pairs:
        assert pair.map3.interval is not None
        yield pair, _safe(charts.difference_bar(pair.map3.value, pair.map3.interval, widest))


def _grouping(grouping: Grouping) -> dict[str, Any]:
    rows = [
        (
            group,
            [
                (accuracy, _safe(charts.interval_bar(accuracy.value, accuracy.interval, number)), map3)
                for number, (accuracy, map3) in enumerate(zip(group.accuracies, group.map3s, strict=True))
            ],
        )
        for group in grouping.groups
    ]
    return {"title": grouping.title, "rows": rows, "of_the_file": grouping.of_the_file}


def _calibration_charts(report: Report, answered: Sequence[Answered]) -> list[Chart]:
    """One chart for a few runs, which can be compared in it; one for each of many."""
    title, note = "Accuracy by confidence", "Above the dashed line the model is too cautious, below it too certain."
    note = f"{note} A dot's area is its questions."
    names = [run.name for run in report.runs]
    bins = [calibration_bins(each) for each in answered]
    if len(names) > IN_ONE_CHART:
        pairs = zip(names, bins, strict=True)
        return [Chart(f"{title}: {name}", _safe(charts.calibration_chart([each])), (), note) for name, each in pairs]
    return [Chart(title, _safe(charts.calibration_chart(bins)), tuple(names) if len(names) > 1 else (), note)]


def _confusion_charts(report: Report) -> list[Chart]:
    note = "A row is the place of the right option. Without a bias, all columns look alike off the diagonal."
    return [
        Chart(
            _titled("Places", run.name, report), _safe(charts.confusion_chart(confusion(run, report.answers))), (), note
        )
        for run in report.runs
    ]


def _confidence_charts(report: Report) -> list[Chart]:
    return [
        Chart(
            _titled("Confidence", run.name, report),
            _safe(charts.confidence_chart([max(prediction.probabilities) for prediction in run.predictions])),
            (),
            "Questions by the probability of the option that is ranked first.",
        )
        for run in report.runs
    ]


def _chosen_charts(report: Report) -> list[Chart]:
    return [
        Chart(
            _titled("Place ranked first", run.name, report),
            _safe(charts.bars_chart(chosen_places(run), "Questions by the place ranked first", "ranked first")),
        )
        for run in report.runs
    ]


def _titled(title: str, name: str, report: Report) -> str:
    return f"{title}: {name}" if len(report.runs) > 1 else title


def _training_section(training: Training) -> dict[str, Any]:
    """The curves of a training, and why a curve is missing."""
    drawn, notes = [], []
    for title, curves, flag in (
        ("Loss", training.losses, "--logging_steps with a smaller number logs it more often"),
        ("MAP@3", training.map3, "a training with --eval_strategy steps or epoch evaluates it"),
    ):
        if any(len(points) > 1 for points in curves.values()):
            drawn.append(_curves(title, curves))
        else:
            logged = "has one point only" if curves else "was not logged"
            notes.append(f"{title} {logged}: {flag}.")
    return {"name": training.name, "source": training.source, "charts": drawn, "notes": notes}


def _curves(title: str, curves: dict[str, Points] | Any) -> Chart:
    svg = _safe(charts.curves_chart(list(curves.values()), f"{title} by step"))
    return Chart(title, svg, tuple(curves) if len(curves) > 1 else ())


def _facts(report: Report) -> list[tuple[str, str]]:
    """Short facts for the head of the page, as label and value."""
    options = sorted({len(prediction.scores) for prediction in report.predictions})
    datasets = list(dict.fromkeys(prediction.dataset for prediction in report.predictions if prediction.dataset))
    unanswered = len(report.answers) - report.answered
    facts = [("questions", f"{len(report.answers):,}")]
    facts += [("with a known answer", f"{report.answered:,}")] if unanswered else []
    facts += [("options", f"{options[0]}" if len(options) == 1 else f"{options[0]} to {options[-1]}")]
    facts += [("data sets", f"{len(datasets)}")] if len(datasets) > 1 else []
    for key, label in (("mcq_head", "head"), ("mcq_layout", "layout")):
        values = list(dict.fromkeys(str(run.results[key]) for run in report.runs if key in run.results))
        facts += [(label, ", ".join(values))] if values else []
    return facts


def _figure(value: float) -> str:
    return f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\u2212")


def _interval(score: Score | None) -> str:
    """The 95 % interval, or a dash."""
    bounds = score.interval if isinstance(score, Score) else score
    return "\u2013" if bounds is None else f"[{bounds[0]:.3f}, {bounds[1]:.3f}]".replace("-", "\u2212")


def _count(number: int) -> str:
    return f"{number:,}"


def _safe(html: str) -> Any:
    """HTML that enters the page unescaped. It must not contain text of the data, except as escaped JSON."""
    from markupsafe import Markup

    return Markup(html)
