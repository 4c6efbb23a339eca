"""What is wrong with a file, and where: collected while reading, shown all together."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass

LISTED = 20
QUOTED = 60  # characters of data text in a message


@dataclass(frozen=True, slots=True)
class Problem:
    """One defect, as `file:line: what; expected; fix`.

    Args:
        line: 1-based (a row number for Parquet and JSON arrays); 0 stands for the file as a whole.
        kind: what sort of defect it is, so that a list cut short still shows one of each.
        column: 1-based place in the line, 0 where it has none.
        unread: lines behind it that could not be read because of it.
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
        where = ":".join([self.file, *(str(number) for number in (self.line, self.column) if number)])
        return f"{where}: " + "; ".join(part for part in (self.what, self.expected, self.fix) if part)


def render_problems(problems: Sequence[Problem]) -> str:
    """One problem as one line; several as a count and a list of at most twenty, with every kind among them."""
    if len(problems) == 1:
        return str(problems[0])
    listed = _fair_share(problems)
    lines = [f"{len(problems)} problems:", *(f"  {problem}" for problem in listed)]
    if len(problems) > len(listed):
        lines.append(f"  and {len(problems) - len(listed)} more")
    return "\n".join(lines)


def _fair_share(problems: Sequence[Problem]) -> list[Problem]:
    """At most `LISTED` problems in their order: a hundred of one kind must not hide the one of another."""
    places: dict[str, list[int]] = {}
    for place, problem in enumerate(problems):
        places.setdefault(problem.kind, []).append(place)
    # First the first of every kind, then the second of every kind, ...
    turns = sorted((turn, place) for same in places.values() for turn, place in enumerate(same[:LISTED]))
    return [problems[place] for place in sorted(place for _, place in turns[:LISTED])]


def shown(value: object) -> str:
    """A value of the data for a message: quoted, short, and without characters that a terminal would obey."""
    # Two characters more than can be shown: enough to know that a text goes on, whatever its length.
    quoted = repr(value[: QUOTED + 2]) if isinstance(value, str) else reprlib.repr(value)
    return quoted if len(quoted) <= QUOTED else quoted[: QUOTED - 3] + "..."


def terminal_path(path: str | os.PathLike[str]) -> str:
    """A path for a message, as it was given; what a terminal would obey is spelt out."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in os.fspath(path))


def line_list(lines: Sequence[int], unit: str = "line") -> str:
    """Where something occurs: "line 3", "lines 3, 90", "lines 3, 9, 12, 13, 20 and 7 more"."""
    listed = lines if len(lines) <= 6 else lines[:5]
    more = f" and {len(lines) - len(listed)} more" if len(lines) > len(listed) else ""
    return f"{unit}{'s' * (len(lines) > 1)} {', '.join(map(str, listed))}{more}"
