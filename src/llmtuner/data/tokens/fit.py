"""Says how many questions did not fit into ``cutoff_len``, and what was done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmtuner.errors import DataError

LISTED = 20


def listed(lines: Sequence[str]) -> list[str]:
    """The first lines, indented below what they are an example of, and how many more there are."""
    rest = len(lines) - LISTED
    return [*(f"  {line}" for line in lines[:LISTED]), *([f"  and {rest} more"] if rest > 0 else [])]


@dataclass(frozen=True, slots=True)
class Length:
    """How one question met the limit: `cut` tokens off its context, `over` tokens too long even without one."""

    row: int
    where: str
    id: str
    cut: int
    over: int


class FitReport:
    """Counts and lists of the questions that met the limit."""

    def __init__(self, lengths: Sequence[Length], cutoff_len: int) -> None:
        self.lengths = lengths
        self.cutoff_len = cutoff_len
        self.too_long = [length for length in lengths if length.over]

    def lines(self, *, training: bool) -> list[str]:
        """What a user should know; empty where everything fitted. A training without `drop_long` has `refusal`."""
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
                "without their context: the beginning of the question was cut (options and template never are), and "
                "they are scored all the same:"
            )
            lines += self._listed()
        return lines

    def refusal(self) -> str:
        """The error for training."""
        head = (
            f"{len(self.too_long)} questions are longer than `cutoff_len` {self.cutoff_len} even without their "
            "context, so that options or the answer would be lost; raise `cutoff_len`, or pass `drop_long` to "
            "train without them:"
        )
        return "\n".join([head, *self._listed()])

    def _listed(self) -> list[str]:
        return listed(
            [f"{length.where}: id {length.id}: {self.cutoff_len + length.over} tokens" for length in self.too_long]
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """What becomes of a set of questions.

    Args:
        rows: 0-based numbers of the rows to go on with, in order.
        lines: what a user should know, for a warning; empty where everything fitted.
    """

    rows: list[int]
    lines: list[str]


def settle_too_long(
    lengths: Sequence[Length], cutoff_len: int, *, training: bool, drop: bool, num_rows: int | None = None
) -> Settled:
    """The one rule for questions that exceed ``cutoff_len`` even without their context.

    A training loses options or the answer of such a question, so it refuses them, or drops them where it was told to.
    A prediction must answer every question, so it goes on with all rows and lists those whose beginning was cut.

    Args:
        lengths: of the questions; `Length.row` is the row's number.
        drop: `drop_long`.
        num_rows: rows of the whole set, where some of them are no questions; those stay.

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
