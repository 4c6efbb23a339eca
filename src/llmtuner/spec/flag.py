"""What a flag is: its type, its range, where it belongs, and how its words become a value."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llmtuner.errors import UserError
from llmtuner.spec.entry import choose_from

# The spellings of transformers' HfArgumentParser.
TRUE = frozenset({"yes", "true", "t", "y", "1"})
FALSE = frozenset({"no", "false", "f", "n", "0"})
_EXPECTED = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Range:
    """Which numbers a flag takes.

    Args:
        low, high: bounds; None for none.
        above, below: whether the bound itself is left out.
        special: values with a meaning of their own.
    """

    low: float | None = None
    high: float | None = None
    above: bool = False
    below: bool = False
    special: tuple[float, ...] = ()

    def __contains__(self, number: float) -> bool:
        if number in self.special:
            return True
        if not math.isfinite(number):
            return False
        high_enough = self.low is None or (number > self.low if self.above else number >= self.low)
        return high_enough and (self.high is None or (number < self.high if self.below else number <= self.high))

    def __str__(self) -> str:
        parts = []
        if self.low is not None:
            parts.append(f"{'above' if self.above else 'of at least'} {self.low:g}")
        if self.high is not None:
            parts.append(f"{'below' if self.below else 'of at most'} {self.high:g}")
        return " and ".join(parts)


AT_LEAST_1 = Range(low=1)
AT_LEAST_0 = Range(low=0)
ABOVE_0 = Range(low=0, above=True)
SHARE = Range(low=0, high=1, below=True)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A combination that is refused.

    Args:
        flag, value: the other flag and its value, as a word.
        why: the reason, and what to do instead.
        own: the value of the flag itself that does not go with it; None for any but false.
        only: the value of the flag itself that does; None where none is to be named.
    """

    flag: str
    value: str
    why: str
    own: Any = None
    only: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A flag.

    Args:
        name: with underscores, without dashes.
        type: of the value: str, int, float or bool.
        help: one line.
        default: the value where it is not given; None where there is none, or where it depends on the run.
        value: what stands for the value in --help; nothing for yes/no flags.
        choices: the names that it takes; () for any.
        range: the numbers that it takes; None for any.
        stages: where it means something; () for every stage.
        heads: the heads that it is for; () for every one.
        bare: the value where no word follows; None where one must.
        conflicts: what it contradicts.
        field: the engine's name for it, where the engine reads it; "duma.width" stands in the settings' `duma`.
        arguments: which of upstream's argument classes has it, "data" or "finetuning", for the project's own flags;
            "" where upstream declares it, or where no parser of upstream sees it.
    """

    name: str
    type: type = str
    help: str
    default: Any = None
    value: str = ""
    choices: tuple[str, ...] = ()
    range: Range | None = None
    stages: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    bare: Any = None
    conflicts: tuple[Conflict, ...] = ()
    field: str = ""
    arguments: str = ""

    def parse(self, words: Sequence[str]) -> Any:
        """The words behind the flag as a value; a bare yes/no flag is true.

        Raises:
            UserError: no word or several, another type, a number out of range, an unknown name.
        """
        if not words and self.type is bool:
            return True
        if not words and self.bare is not None:
            return self.bare
        if not words:
            raise UserError(f"--{self.name} needs a value")
        if len(words) > 1:
            raise UserError(f"--{self.name} takes one value, it has {len(words)}")
        value = _CONVERT[self.type](self, words[0])
        problem = self.problem(value)
        if problem:
            raise UserError(f"--{self.name} {words[0]}: {problem}")
        return value

    def problem(self, value: Any) -> str:
        """Why the flag cannot have a value, with what it can have; "" where it can."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = is_number if self.type is float else type(value) is self.type
        if not fits or (self.range is not None and value not in self.range):
            return f"expected {_EXPECTED[self.type]}{'' if self.range is None else f' {self.range}'}"
        if self.choices and value not in self.choices:
            return choose_from(value, self.choices)
        return ""


def _text(_: Flag, word: str) -> str:
    return word


def _number(flag: Flag, word: str) -> float:
    try:
        return flag.type(word)
    except ValueError:
        raise UserError(f"--{flag.name} {word}: expected {_EXPECTED[flag.type]}") from None


def _truth(flag: Flag, word: str) -> bool:
    if word.lower() not in TRUE | FALSE:
        raise UserError(f"--{flag.name} is a yes/no flag: expected true or false, found {word!r}")
    return word.lower() in TRUE


_CONVERT: dict[type, Callable[[Flag, str], Any]] = {str: _text, int: _number, float: _number, bool: _truth}
