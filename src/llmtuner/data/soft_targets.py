"""The columns `probabilities` and `weight` of training files: a distribution over options, and what a row counts."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llmtuner.data.problems import Problem, quoted
from llmtuner.data.question import LETTERS
from llmtuner.data.readers.json_objects import parse_value, repeated_keys
from llmtuner.data.table import Table

PROBABILITIES, WEIGHT = "probabilities", "weight"
COLUMNS = (PROBABILITIES, WEIGHT)
LEAST, MOST = 1e-9, 1e9  # of weights above 0: far beyond, losses and gradients would become 0, Inf or NaN
SUM_WITHIN = 1e-3  # of 1; the probabilities are then divided by their sum


@dataclass(frozen=True, slots=True)
class Target:
    """What a row says beside its answer.

    Args:
        probabilities: of each option, with sum 1; None if the row has none.
        weight: 1 if the row has none.
    """

    probabilities: tuple[float, ...] | None = None
    weight: float = 1.0

    @property
    def likeliest(self) -> int | None:
        """The most probable option; None if several are, or nothing says so."""
        if self.probabilities is None:
            return None
        highest = max(self.probabilities)
        return self.probabilities.index(highest) if self.probabilities.count(highest) == 1 else None


@dataclass(slots=True)
class Targets:
    """Reads both columns of a file, row by row.

    Args:
        file: for messages.
        read: the columns that the form reads as something else, which are left to it.
        problems: the defects so far; such a row has no `Target` of its own.
        derived: lines of the rows whose answer is that of their probabilities.
    """

    table: Table
    file: str
    read: Sequence[str] = ()
    problems: list[Problem] = field(default_factory=list)
    derived: list[int] = field(default_factory=list)
    _columns: tuple[str, ...] = ()
    _weighted: int = 0

    def __post_init__(self) -> None:
        self._columns = tuple(name for name in COLUMNS if name in self.table.columns and name not in self.read)

    def of(self, row: int, options: int) -> Target:
        """The target of a row.

        Args:
            row: index into the table's records.
            options: the number of the question's options.
        """
        if not self._columns:
            return Target()
        line, record = self.table.records[row]
        probabilities, weight = None, 1.0
        if PROBABILITIES in self._columns:
            probabilities = self._probabilities(record.get(PROBABILITIES), LETTERS[:options], line)
        if WEIGHT in self._columns:
            weight = self._weight(record.get(WEIGHT), line)
        self._weighted += weight != 1
        return Target(probabilities, weight)

    def notices(self) -> list[Problem]:
        """What a training should know: that rows have other weights."""
        if not self._weighted:
            return []
        defect = f"column {WEIGHT} is read: {self._weighted:,} of {len(self.table.records):,} rows count more or less"
        return [Problem(self.file, self.table.header, defect, kind=WEIGHT)]

    def warnings(self) -> list[Problem]:
        """That answers were taken from probabilities."""
        if not self.derived:
            return []
        rows = f"{len(self.derived):,} rows have no answer"
        defect = f"{rows}: the option with the highest of their {PROBABILITIES} counts as the answer"
        return [Problem(self.file, self.derived[0], defect, kind=PROBABILITIES)]

    def _probabilities(self, value: Any, letters: str, line: int) -> tuple[float, ...] | None:
        try:
            return probabilities_of(value, letters)
        except _Defect as defect:
            self._defect(line, *defect.args)
            return None

    def _weight(self, value: Any, line: int) -> float:
        if value is None or (isinstance(value, str) and not value.strip()):
            return 1.0
        number = _number(_parsed(value))
        if number is None or not (number == 0 or LEAST <= number <= MOST):
            expected = "expected a number of at least 0"
            if number is not None and number > 0:
                expected = (
                    f"expected 0, or a number from {LEAST:g} to {MOST:g}: a training computes in single precision"
                )
            self._defect(line, f"{WEIGHT} {quoted(value)}", expected)
            return 1.0
        return number

    def _defect(self, line: int, what: str, expected: str) -> None:
        fix = "correct it, or rename the column if it means something else"
        self.problems.append(Problem(self.file, line, what, expected, fix, kind="targets"))


class _Defect(Exception):
    """What is wrong with a cell, and what was expected."""


def probabilities_of(value: Any, letters: str) -> tuple[float, ...] | None:
    """The probabilities in a cell; None if it is blank.

    Args:
        value: an object, or its JSON text.
        letters: of the question's options.

    Raises:
        _Defect: the value is anything else.
    """
    expected = f'expected a number for each option, such as {{"{letters[0]}": 0.9, "{letters[1]}": 0.1, ...}}'
    if isinstance(value, str) and value.strip():
        parsed, problem = parse_value(value, "")
        if problem is not None:
            raise _Defect(f"{PROBABILITIES} {quoted(value)} is not JSON", expected)
        if names := repeated_keys(parsed):
            raise _Defect(f"{PROBABILITIES} {quoted(value)} names {', '.join(names)} twice", expected)
        value = parsed
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, dict):
        raise _Defect(f"{PROBABILITIES} {quoted(value)}", expected)
    given = {name: number for name, number in value.items() if number is not None}  # Parquet fills up with null
    if sorted(given) != list(letters):
        raise _Defect(f"{PROBABILITIES} of {quoted(sorted(given))}", f"expected one for each of {', '.join(letters)}")
    numbers = [number for letter in letters if (number := _number(given[letter])) is not None]
    if len(numbers) < len(letters) or not all(0 <= number <= 1 for number in numbers):
        raise _Defect(f"{PROBABILITIES} {quoted(given)}", "expected numbers from 0 to 1")
    total = math.fsum(numbers)
    if abs(total - 1) > SUM_WITHIN:
        raise _Defect(f"{PROBABILITIES} have the sum {total:g}", f"expected 1 within {SUM_WITHIN:g}")
    return tuple(number / total for number in numbers)


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _number(value: Any) -> float | None:
    """The value as a finite number; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        return None
    return float(value)
