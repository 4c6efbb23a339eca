"""An audit as one self-contained HTML page: no network, no script, every text of the data escaped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from llmtuner.data.audit.checks import CHECKS
from llmtuner.data.audit.quality import DEDUCTIONS
from llmtuner.data.audit.result import Audit, FileAudit
from llmtuner.data.problems import line_list
from llmtuner.data.question import LETTERS
from llmtuner.report.audit_charts import lengths_chart, positions_chart, shortcuts_chart
from llmtuner.report.audit_summary import leak_line, options_line, positions_line, repeat_lists

TEMPLATE = "audit_page.html.j2"
MARK = '<meta name="generator" content="llmtuner audit">'  # identifies an earlier audit
LISTED = 200  # entries of a list; a browser cannot open a page with a hundred thousand
LONGEST = 2_000  # characters of a text


def render_page(audit: Audit) -> str:
    """The page's HTML. The same audit gives the same page.

    Raises:
        ImportError: jinja2 or matplotlib is not installed.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"line_list": line_list, "positions": positions_line, "options": options_line}
    return environment.get_template(TEMPLATE).render(
        audit=audit,
        files=[_file_section(file, number) for number, file in enumerate(audit.files)],
        checks=[(name, meaning, audit.checks[name]) for name, (meaning, _) in CHECKS.items()],
        leaks=[leak_line(leak) for leak in audit.repeats.leaks],
        repeats=repeat_lists(audit.repeats),
        letters=LETTERS,
        deductions={name: deduction for name, (deduction, _) in DEDUCTIONS.items()},
        listed=LISTED,
        longest=LONGEST,
        mark=_safe(MARK),
    )


def is_audit_page(path: str | os.PathLike[str]) -> bool:
    """Whether a file was made by `render_page`.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        return MARK.encode() in file.read(2000)


def _file_section(file: FileAudit, number: int) -> dict[str, Any]:
    """A file's audit with its charts. Positions are charted for the most frequent number of options only."""
    charts = []
    if file.positions:
        most_frequent = max(file.positions, key=lambda positions: sum(positions.right))
        title = f"Position of the answer, questions with {len(most_frequent.right)} options"
        charts.append((title, _safe(positions_chart(most_frequent, f"{number} positions"))))
    if file.lengths.histogram is not None:
        title = "Length of the options"
        charts.append((title, _safe(lengths_chart(file.lengths.histogram, f"{number} lengths"))))
    scores = file.scores
    if scores:
        title = "Baselines that need no language model"
        charts.append((title, _safe(shortcuts_chart(scores, f"{number} shortcuts"))))
    return {"audit": file, "charts": charts, "scores": scores}


def _safe(html: str) -> Any:
    """HTML that enters the page unescaped. It must not contain text of the data."""
    from markupsafe import Markup

    return Markup(html)
