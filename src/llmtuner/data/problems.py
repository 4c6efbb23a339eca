"""What is wrong with a file, and where: collected while reading, shown all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LISTED = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One defect. `line` 0 stands for the file as a whole."""

    file: str
    line: int
    what: str
    fix: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.what}" + (f"; {self.fix}" if self.fix else "")


def render_problems(problems: Sequence[Problem]) -> str:
    """One problem as one line; several as a count and a list of at most twenty."""
    if len(problems) == 1:
        return str(problems[0])
    lines = [f"{len(problems)} problems:", *(f"  {problem}" for problem in problems[:LISTED])]
    if len(problems) > LISTED:
        lines.append(f"  and {len(problems) - LISTED} more")
    return "\n".join(lines)


def shown(text: object) -> str:
    """Data text for a message: quoted, short, and without characters that a terminal would obey."""
    quoted = ascii(text) if isinstance(text, str) and not text.isprintable() else repr(text)
    return quoted if len(quoted) <= 60 else quoted[:57] + "..."
