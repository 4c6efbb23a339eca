"""Reports how many questions did not fit into ``cutoff_len``, and what was done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmtuner.data.problems import escaped_id
from llmtuner.errors import DataError

LISTED = 20


def listed(lines: Sequence[str]) -> list[str]:
    """The first lines as indented examples, and how many more there are."""
    rest = len(lines) - LISTED
    return [*(f"  {line}" for line in lines[:LISTED]), *([f"  and {rest} more"] if rest > 0 else [])]


@dataclass(frozen=True, slots=True)
class Length:
    """How one question fits: `cut` tokens cut from its context, `over` tokens too long even without a context."""

    row: int
    where: str
    id: str
    cut: int
    over: int


class FitReport:
    """Counts and lists of the questions that exceeded the limit."""

    def __init__(self, lengths: Sequence[Length], cutoff_len: int) -> None:
        self.lengths = lengths
        self.cutoff_len = cutoff_len
        self.too_long = [length for length in lengths if length.over]

    def lines(self, *, training: bool) -> list[str]:
        """Lines for the user; empty if everything fitted. A training without `drop_long` uses `refusal`."""
        lines = []
        cuts = sorted(length.cut for length in self.lengths if length.cut)
        if cuts:
            lines.append(
                f"{len(cuts)} of {len(self.lengths)} questions exceed `cutoff_len` {self.cutoff_len}: the end of "
                f"their context was cut, by {cuts[len(cuts) // 2]} tokens in the median and {cuts[-1]} at most"
            )
        if self.too_long and training:
            lines.append(
                f"{len(self.too_long)} of {len(self.lengths)} questions exceed `cutoff_len` {self.cutoff_len} even "
                "without their context and are dropped (`drop_long`)"
            )
        elif self.too_long:
            lines.append(
                f"{len(self.too_long)} of {len(self.lengths)} questions exceed `cutoff_len` {self.cutoff_len} even "
                "without their context: the beginning of the question was cut, never the options or the "
                "template; they are still scored:"
            )
            lines += self._listed()
        return lines

    def refusal(self) -> str:
        """The error for training."""
        head = (
            f"{len(self.too_long)} questions are longer than `cutoff_len` {self.cutoff_len} even without their "
            "context, so options or the answer would be lost; raise `cutoff_len`, or pass `drop_long` to "
            "train without them:"
        )
        return "\n".join([head, *self._listed()])

    def _listed(self) -> list[str]:
        return listed(
            [
                f"{length.where}: id {escaped_id(length.id)}: {self.cutoff_len + length.over} tokens"
                for length in self.too_long
            ]
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """The rows that are used, and lines for the user.

    Args:
        rows: 0-based numbers of the rows to use, in order.
        lines: lines of a warning for the user; empty if everything fitted.
    """

    rows: list[int]
    lines: list[str]


def settle_too_long(
    lengths: Sequence[Length], cutoff_len: int, *, training: bool, drop: bool, num_rows: int | None = None
) -> Settled:
    """The one rule for questions that exceed ``cutoff_len`` even without their context.

    Training would lose options or the answer of such a question, so it refuses them, or drops them with `drop_long`.
    Prediction must answer every question, so it uses all rows and lists those whose beginning was cut.

    Args:
        lengths: of the questions; `Length.row` is the row number.
        drop: `drop_long`.
        num_rows: rows of the whole set, if some of them are not questions; those stay.

    Raises:
        DataError: a training has questions that are too long, or dropping them leaves no row.
    """
    report = FitReport(lengths, cutoff_len)
    rows = list(range(len(lengths) if num_rows is None else num_rows))
    if training and report.too_long:
        if not drop:
            raise DataError(report.refusal())
        dropped = {length.row for length in report.too_long}
        remaining = [row for row in rows if row not in dropped]
        if not remaining:
            raise DataError(f"`drop_long` leaves no question of {len(rows)}; raise `cutoff_len` {cutoff_len}")
        rows = remaining
    return Settled(rows, report.lines(training=training))
