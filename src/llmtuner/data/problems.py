"""Defects of a data file with their places. Readers collect them; one message shows them all."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass

LISTED = 20
TOO_LONG_A_NUMBER = "a number has more digits than Python reads (4,300); shorten it, or put it in quotes"
QUOTED = 60  # characters of data text in a message


@dataclass(frozen=True, slots=True)
class Problem:
    """One defect, printed as `file:line: what; expected; fix`.

    Args:
        line: 1-based (a row number for Parquet and JSON arrays); 0 is the file as a whole.
        kind: the kind of defect, so that a shortened list still shows one of each kind.
        column: 1-based column in the line, 0 if there is none.
        unread: number of lines after this one that could not be read because of the defect.
    """

    file: str
    line: int
    what: str
    expected: str = ""
    fix: str = ""
    kind: str = ""
    column: int = 0
    unread: int = 0

    def __str__(self) -> str:
        location = ":".join([self.file, *(str(number) for number in (self.line, self.column) if number)])
        # Data in it is quoted already; a problem is one line all the same, whoever forgot it.
        return escaped(f"{location}: " + "; ".join(part for part in (self.what, self.expected, self.fix) if part))


def render_problems(problems: Sequence[Problem]) -> str:
    """One problem as one line; several as a count and a list of at most twenty, with every kind represented."""
    if len(problems) == 1:
        return str(problems[0])
    listed = _fair_share(problems)
    lines = [f"{len(problems)} problems:", *(f"  {problem}" for problem in listed)]
    if len(problems) > len(listed):
        lines.append(f"  and {len(problems) - len(listed)} more")
    return "\n".join(lines)


def _fair_share(problems: Sequence[Problem]) -> list[Problem]:
    """At most `LISTED` problems, in order. A hundred of one kind must not hide the only one of another."""
    positions_by_kind: dict[str, list[int]] = {}
    for position, problem in enumerate(problems):
        positions_by_kind.setdefault(problem.kind, []).append(position)
    # First the first of every kind, then the second of every kind, ...
    turns = sorted(
        (turn, position) for positions in positions_by_kind.values() for turn, position in enumerate(positions[:LISTED])
    )
    return [problems[position] for position in sorted(position for _, position in turns[:LISTED])]


def quoted(value: object) -> str:
    """A value of the data for a message: in quotes, shortened, with terminal control characters escaped."""
    # Two characters more than fit: enough to see that the text continues, however long it is.
    text = repr(value[: QUOTED + 2]) if isinstance(value, str) else reprlib.repr(value)
    return text if len(text) <= QUOTED else text[: QUOTED - 3] + "..."


def escaped(text: str, keep: str = "") -> str:
    """A text for a message, with terminal control characters escaped: data must not look like a message of ours.

    Args:
        keep: control characters that stay.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)


def escaped_id(name: str) -> str:
    """An id of the data for a message, without quotes: escaped and shortened."""
    text = escaped(name[: QUOTED + 2])
    return text if len(text) <= QUOTED else text[: QUOTED - 3] + "..."


def terminal_path(path: str | os.PathLike[str]) -> str:
    """A path for a message, as the user gave it, with terminal control characters escaped."""
    return escaped(os.fspath(path))


def line_list(lines: Sequence[int], unit: str = "line") -> str:
    """Line numbers for a message: "line 3", "lines 3, 90", "lines 3, 9, 12, 13, 20 and 7 more"."""
    listed = lines if len(lines) <= 6 else lines[:5]
    more = f" and {len(lines) - len(listed)} more" if len(lines) > len(listed) else ""
    return f"{unit}{'s' * (len(lines) > 1)} {', '.join(map(str, listed))}{more}"
