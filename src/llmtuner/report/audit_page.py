"""An audit as one HTML page that needs nothing else: no network, no script, every text of the data escaped."""

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
MARK = '<meta name="generator" content="llmtuner audit">'  # by which an earlier audit is known
LISTED = 200  # entries of a list; a page with a hundred thousand would not open
LONGEST = 2_000  # characters of a text; the rest is in the file


def render_page(audit: Audit) -> str:
    """The page's HTML. The same audit gives the same page."""
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
        files=[_file(file, number) for number, file in enumerate(audit.files)],
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
    """Whether a file is a page that `render_page` made."""
    with open(path, "rb") as file:
        return MARK.encode() in file.read(2000)


def _file(file: FileAudit, number: int) -> dict[str, Any]:
    """A file's findings with its charts: the answer's place for the commonest number of options only."""
    charts = []
    if file.positions:
        commonest = max(file.positions, key=lambda found: sum(found.right))
        title = f"Place of the answer, questions with {len(commonest.right)} options"
        charts.append((title, _safe(positions_chart(commonest, f"{number} positions"))))
    if file.lengths.histogram is not None:
        title = "Length of the options"
        charts.append((title, _safe(lengths_chart(file.lengths.histogram, f"{number} lengths"))))
    scores = file.scores
    if scores:
        title = "Score without knowing anything"
        charts.append((title, _safe(shortcuts_chart(scores, f"{number} shortcuts"))))
    return {"audit": file, "charts": charts, "scores": scores}


def _safe(html: str) -> Any:
    """Text of our own making that goes into the page as it is; nothing of the data may come here."""
    from markupsafe import Markup

    return Markup(html)
