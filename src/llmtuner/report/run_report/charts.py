"""The charts of a report as SVG text. They hold numbers and letters of options only, no text of the data.

Colours and fonts come from the page's style sheet, so that a chart follows the light or dark theme: `s0`, `s1`, ... are
the colours of the runs. Sizes are in pixels of the drawing, which is shown at about its own size at every width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llmtuner.data.question import LETTERS
from llmtuner.report.run_report.curves import Points
from llmtuner.report.run_report.figures import Bin, Interval

COLOURS = 6  # of the style sheet; further runs begin again
_WIDTH, _HEIGHT = 360, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 40
_CORNER = 40.0  # of the table of places: its letters stand left of it and above
_DARKEST = 0.45  # opacity of a cell of the table on which its number can still be read
_FEW = 30  # points of a curve that are drawn as dots, too


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values with its marks, drawn from pixel `start` to pixel `end`."""

    low: float
    high: float
    ticks: tuple[float, ...]
    start: float
    end: float

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float, *, whole: bool = False) -> Axis:
        """An axis whose marks are round numbers around all values.

        Args:
            whole: the values are whole numbers, such as steps.
        """
        known = list(values)
        low, high = min(known), max(known)
        if high - low < 1e-9 * max(abs(low), abs(high), 1e-3):  # equal, as far as a drawing shows
            around = 1.0 if whole else max(abs(low) / 2, 1e-3)
            low, high = low - around, high + around
        size = 10 ** math.floor(math.log10((high - low) / 4))
        step = size * next(factor for factor in (1, 2, 5, 10) if (high - low) / (size * factor) <= 5)
        step = max(1, step) if whole else step
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        ticks = tuple(float(f"{place * step:.12g}") for place in range(first, last + 1))
        return cls(ticks[0], ticks[-1], ticks, start, end)

    @classmethod
    def of_shares(cls, start: float, end: float) -> Axis:
        """From 0 to 1."""
        return cls(0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1), start, end)

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def _plane(x: Axis, y: Axis, x_title: str) -> str:
    """Grid, marks and the title of the horizontal axis."""
    drawn = []
    for value in y.ticks:
        at = y.at(value)
        drawn.append(f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{_n(at)}" y2="{_n(at)}"/>')
        drawn.append(f'<text class="tick" x="{_LEFT - 7}" y="{_n(at + 4)}" text-anchor="end">{value:g}</text>')
    drawn += [_text("tick", x.at(value), _HEIGHT - 22, f"{value:g}") for value in x.ticks]
    return "".join([*drawn, _text("title", (x.start + x.end) / 2, _HEIGHT - 5, x_title)])


def _drawing(content: str, label: str, width: float = _WIDTH, height: float = _HEIGHT, kind: str = "chart") -> str:
    # A bar fills its cell of a table; its lines keep their width (vector-effect in the style sheet).
    fit = ' preserveAspectRatio="none"' if kind == "bar" else ""
    size = f'viewBox="0 0 {width:g} {height:g}"{fit}'
    return f'<svg class="{kind}" {size} role="img" aria-label="{label}">{content}</svg>'


def _n(pixel: float) -> str:
    return f"{pixel:.1f}"


def curves_chart(curves: Sequence[Points], label: str) -> str:
    """Values by step, a line for each curve; a single point is a dot.

    Args:
        label: what a screen reader says.
    """
    points = [point for curve in curves for point in curve]
    x = Axis.over((step for step, _ in points), _LEFT, _WIDTH - _RIGHT, whole=True)
    y = Axis.over((value for _, value in points), _HEIGHT - _BOTTOM, _TOP)
    drawn = []
    for number, curve in enumerate(curves):
        places = [f"{_n(x.at(step))},{_n(y.at(value))}" for step, value in curve]
        drawn.append(f'<polyline class="line s{number % COLOURS}" points="{" ".join(places)}"/>')
        if len(curve) <= _FEW:
            drawn += [
                f'<circle class="dot s{number % COLOURS}" cx="{_n(x.at(step))}" cy="{_n(y.at(value))}" r="3">'
                f"<title>step {step:g}: {value:.4g}</title></circle>"
                for step, value in curve
            ]
    return _drawing(_plane(x, y, "step") + "".join(drawn), label)


def calibration_chart(bins_of_runs: Sequence[Sequence[Bin]]) -> str:
    """Accuracy by confidence, with the diagonal on which a calibrated model lies; a dot's area is its questions."""
    x, y = Axis.of_shares(_LEFT, _WIDTH - _RIGHT), Axis.of_shares(_HEIGHT - _BOTTOM, _TOP)
    drawn = [f'<line class="diagonal" x1="{x.start}" x2="{x.end}" y1="{y.start}" y2="{y.end}"/>']
    for number, bins in enumerate(bins_of_runs):
        colour, most = f"s{number % COLOURS}", max(each.questions for each in bins)
        points = " ".join(f"{_n(x.at(each.confidence))},{_n(y.at(each.accuracy))}" for each in bins)
        drawn.append(f'<polyline class="line thin {colour}" points="{points}"/>')
        drawn += [
            f'<circle class="dot soft {colour}" cx="{_n(x.at(each.confidence))}" cy="{_n(y.at(each.accuracy))}" '
            f'r="{_n(2.5 + 7.5 * math.sqrt(each.questions / most))}"><title>{each.questions:,} questions: confidence '
            f"{each.confidence:.3f}, accuracy {each.accuracy:.3f}</title></circle>"
            for each in bins
        ]
    return _drawing(_plane(x, y, "confidence") + "".join(drawn), "Accuracy by confidence")


def confusion_chart(counts: Sequence[Sequence[int]]) -> str:
    """A table of the place of the answer (rows) and the place ranked first (columns), with sums.

    Darker cells are larger shares of their row.
    """
    size = len(counts)
    cell = min(54.0, (_WIDTH - 100) / size)
    middle, end = _CORNER + size * cell / 2, _CORNER + size * cell
    drawn = [
        _text("title", middle, 12, "ranked first"),
        f'<g transform="rotate(-90 11 {_n(middle)})">{_text("title", 11, middle, "answer")}</g>',
        _text("tick", 29, end + 18, "all"),
    ]
    for place, numbers in enumerate(counts):
        at = _CORNER + (place + 0.5) * cell
        drawn += [_text("letter", at, 31, LETTERS[place]), _text("letter", 29, at + 4, LETTERS[place])]
        drawn += [_text("tick", end + 18, at + 4, _short(sum(numbers)))]
        drawn += [_text("tick", at, end + 18, _short(sum(row[place] for row in counts)))]
        drawn += [_cell(place, column, numbers, cell) for column in range(size)]
    return _drawing("".join(drawn), "Place of the answer and place ranked first", end + 44, end + 26, "chart matrix")


def _cell(row: int, column: int, numbers: Sequence[int], size: float) -> str:
    total, number = sum(numbers), numbers[column]
    share = number / total if total else 0.0
    x, y = _CORNER + column * size, _CORNER + row * size
    kind = "hit" if row == column else "miss"
    meaning = f"answer {LETTERS[row]}, ranked first {LETTERS[column]}: {number:,} ({share:.1%})"
    return (
        f'<rect class="cell {kind}" x="{_n(x + 1)}" y="{_n(y + 1)}" width="{_n(size - 2)}" height="{_n(size - 2)}" '
        f'rx="3" fill-opacity="{0.05 + _DARKEST * share:.3f}"><title>{meaning}</title></rect>'
        + _text(f"count {kind if number else 'zero'}", x + size / 2, y + size / 2 + 4, _short(number))
    )


def _text(kind: str, x: float, y: float, text: str) -> str:
    """A text centred at `x`."""
    return f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}" text-anchor="middle">{text}</text>'


def _short(number: int) -> str:
    return f"{number / 1000:.0f}k" if number >= 10_000 else str(number)


def bars_chart(counts: Sequence[int], label: str, x_title: str) -> str:
    """Numbers of questions, a bar for each letter."""
    y = Axis.over([0, *counts, 1], _HEIGHT - _BOTTOM, _TOP, whole=True)
    x = Axis(0, len(counts), (), _LEFT, _WIDTH - _RIGHT)
    drawn = []
    for place, number in enumerate(counts):
        drawn.append(_bar(x.at(place + 0.15), x.at(place + 0.85), y, number, f"{LETTERS[place]}: {number:,}"))
        drawn.append(_text("tick", x.at(place + 0.5), _HEIGHT - 22, LETTERS[place]))
    return _drawing(_plane(x, y, x_title) + "".join(drawn), label)


def _bar(start: float, end: float, y: Axis, number: int, meaning: str) -> str:
    top = y.at(number)
    size = f'x="{_n(start)}" y="{_n(top)}" width="{_n(end - start)}" height="{_n(y.start - top)}"'
    return f'<rect class="fill s0" {size}><title>{meaning}</title></rect>'


def confidence_chart(confidences: Sequence[float]) -> str:
    """Numbers of questions by the probability of the option that is ranked first, in tenths."""
    counts = [0] * 10
    for confidence in confidences:
        counts[min(9, max(0, math.ceil(confidence * 10) - 1))] += 1
    x = Axis.of_shares(_LEFT, _WIDTH - _RIGHT)
    y = Axis.over([0, *counts, 1], _HEIGHT - _BOTTOM, _TOP, whole=True)
    edges = [x.at(place / 10) for place in range(11)]
    drawn = [
        _bar(start + 1, end - 1, y, number, f"{number:,}")
        for (start, end), number in zip(pairwise(edges), counts, strict=True)
    ]
    return _drawing(_plane(x, y, "confidence") + "".join(drawn), "Questions by confidence")


def interval_bar(value: float, interval: Interval | None, number: int, chance: float | None = None) -> str:
    """A score between 0 and 1 as a bar, with its interval as a line and chance as a mark."""
    x = Axis(0, 1, (), 0, 200)
    drawn = ['<rect class="track" x="0" y="5" width="200" height="8" rx="2"/>']
    drawn.append(f'<rect class="fill s{number % COLOURS}" x="0" y="5" width="{_n(x.at(value))}" height="8" rx="2"/>')
    if interval is not None and interval[0] < interval[1]:
        low, high = (_n(x.at(bound)) for bound in interval)
        drawn.append(f'<path class="whisker" d="M{low} 9H{high}M{low} 5V13M{high} 5V13"/>')
    if chance is not None:
        drawn.append(f'<line class="chance" x1="{_n(x.at(chance))}" x2="{_n(x.at(chance))}" y1="0" y2="18"/>')
    return _drawing("".join(drawn), f"{value:.3f}", 200, 18, "bar")


def difference_bar(value: float, interval: Interval, widest: float) -> str:
    """A difference with its interval around zero, on the scale from -widest to +widest."""
    x = Axis(-widest, widest, (), 4, 196)
    low, high, middle = (_n(x.at(bound)) for bound in (*interval, value))
    away = "away" if interval[0] > 0 or interval[1] < 0 else "around"
    content = (
        '<line class="grid" x1="4" x2="196" y1="9" y2="9"/><line class="chance" x1="100" x2="100" y1="0" y2="18"/>'
        f'<path class="span {away}" d="M{low} 9H{high}"/><path class="point {away}" d="M{middle} 9h.01"/>'
    )
    return _drawing(content, f"{value:+.3f}", 200, 18, "bar")
