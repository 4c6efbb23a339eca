"""The charts of an audit's page, as SVG text. They hold numbers and fixed words only, no text of the data."""

from __future__ import annotations

import io
import re
from typing import Any

from llmtuner.data.audit.counts import Histogram
from llmtuner.data.audit.positions import Positions
from llmtuner.data.audit.shortcuts import ShortcutScore
from llmtuner.data.question import LETTERS

# Colours that colour-blind readers can distinguish (Okabe and Ito).
_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#666666"
_SIZE = (4.6, 2.9)  # inches; the page scales it


def positions_chart(positions: Positions, salt: str) -> str:
    """Numbers of answers for each letter, with the line of equal numbers."""
    figure, axes = _axes()
    letters = LETTERS[: len(positions.right)]
    expected = sum(positions.right) / len(letters)
    axes.bar(list(letters), positions.right, color=_BLUE, width=0.7)
    axes.axhline(expected, color=_GREY, linestyle="--", linewidth=1, label="equal numbers")
    axes.set_ylabel("questions")
    axes.set_ylim(0, 1.25 * max(*positions.right, expected))
    axes.legend(frameon=False, loc="upper right")
    return _svg(figure, salt)


def lengths_chart(histogram: Histogram, salt: str) -> str:
    """Lengths of right and of wrong options, each as a share of its own kind."""
    figure, axes = _axes()
    for numbers, colour, label in ((histogram.right, _ORANGE, "right"), (histogram.wrong, _BLUE, "wrong")):
        shares = [100 * number / (sum(numbers) or 1) for number in numbers]
        axes.stairs(shares, histogram.edges, color=colour, linewidth=1.8, label=f"{label} options")
    axes.set_xlabel("characters (the longest 1 % are in the last bin)")
    axes.set_ylabel("% of options")
    axes.legend(frameon=False, loc="upper right")
    return _svg(figure, salt)


def shortcuts_chart(scores: list[ShortcutScore], salt: str) -> str:
    """MAP@3 of each shortcut, with the line of chance."""
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
    # Without pyplot, which selects a display and keeps every figure in memory.
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any, salt: str) -> str:
    """The figure as an element for an HTML page. The same numbers give the same text.

    Args:
        salt: part of the element's ids, which must differ between the charts of one page.
    """
    import matplotlib

    text = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # Text stays text: it can be read aloud, searched and copied, and the page stays small.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "font.size": 9}):
        figure.savefig(text, format="svg", metadata=no_metadata)
    # Without the XML declaration and the document type, which are not allowed inside a page.
    element = re.search(r"<svg.*</svg>", text.getvalue(), flags=re.DOTALL)
    assert element is not None
    # All charts number their groups alike, so only ids with a reference to them are kept.
    used_ids = set(re.findall(r"#([\w.]+)", element[0]))
    return re.sub(r' id="([^"]*)"', lambda attribute: attribute[0] if attribute[1] in used_ids else "", element[0])
