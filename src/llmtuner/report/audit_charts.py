"""The charts of an audit's page, as SVG text. Numbers and fixed words only: no text of the data enters a chart."""

from __future__ import annotations

import io
import re
from typing import Any

from llmtuner.data.audit.counts import Histogram
from llmtuner.data.audit.positions import Positions
from llmtuner.data.audit.shortcuts import ShortcutScore
from llmtuner.data.question import LETTERS

# Told apart without colour vision, too (Okabe and Ito).
_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#666666"
_SIZE = (4.6, 2.9)  # inches, before the page scales it


def positions_chart(positions: Positions, salt: str) -> str:
    """How often each letter is the answer, against equal numbers."""
    figure, axes = _axes()
    letters = LETTERS[: len(positions.right)]
    expected = sum(positions.right) / len(letters)
    axes.bar(list(letters), positions.right, color=_BLUE, width=0.7)
    axes.axhline(expected, color=_GREY, linestyle="--", linewidth=1, label="all places alike")
    axes.set_ylabel("questions")
    axes.set_ylim(0, 1.25 * max(*positions.right, expected))
    axes.legend(frameon=False, loc="upper right")
    return _svg(figure, salt)


def lengths_chart(histogram: Histogram, salt: str) -> str:
    """Characters of right and of wrong options, each as a share of its own kind."""
    figure, axes = _axes()
    for numbers, colour, label in ((histogram.right, _ORANGE, "right"), (histogram.wrong, _BLUE, "wrong")):
        shares = [100 * number / (sum(numbers) or 1) for number in numbers]
        axes.stairs(shares, histogram.edges, color=colour, linewidth=1.8, label=f"{label} options")
    axes.set_xlabel("characters (the longest 1 % in the last step)")
    axes.set_ylabel("% of options")
    axes.legend(frameon=False, loc="upper right")
    return _svg(figure, salt)


def shortcuts_chart(scores: list[ShortcutScore], salt: str) -> str:
    """MAP@3 of each shortcut, against chance."""
    figure, axes = _axes()
    names = [score.name.replace(", ", ",\n") for score in reversed(scores)]
    values = [score.map_at_3 for score in reversed(scores)]
    colours = [_ORANGE if score.worth_a_warning else _BLUE for score in reversed(scores)]
    bars = axes.barh(names, values, color=colours, height=0.65)
    axes.bar_label(bars, labels=[f"{value:.3f}" for value in values], label_type="center", color="white")
    axes.axvline(scores[0].chance, color=_GREY, linestyle="--", linewidth=1, label=f"chance {scores[0].chance:.3f}")
    axes.set_xlim(0, 1.1 * max(*values, scores[0].chance))
    axes.set_xlabel("MAP@3")
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
    return _svg(figure, salt)


def _axes() -> tuple[Any, Any]:
    # Not through pyplot, which chooses a screen and keeps every figure.
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any, salt: str) -> str:
    """The figure as an element for an HTML page, the same for the same numbers.

    Args:
        salt: goes into the element's ids, which must differ between the charts of one page.
    """
    import matplotlib

    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # Letters stay letters: they can be read aloud, searched and copied, and the page stays small.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "font.size": 9}):
        figure.savefig(text, format="svg", metadata=nothing)
    # Without the XML declaration and the address of the document type, which have no place inside a page.
    found = re.search(r"<svg.*</svg>", text.getvalue(), flags=re.DOTALL)
    assert found is not None
    # Groups are numbered alike in every chart; of the ids, only those that are referred to are needed.
    used = set(re.findall(r"#([\w.]+)", found[0]))
    return re.sub(r' id="([^"]*)"', lambda its: its[0] if its[1] in used else "", found[0])
