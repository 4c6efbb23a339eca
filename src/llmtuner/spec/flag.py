"""What a flag is: its type, its range, its stages, and how its words become a value."""

from __future__ import annotations

import sys
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
        low, high: bounds; None for no bound.
        above, below: whether the bound itself is excluded.
        special: further values with a special meaning.
        excluded: numbers between the bounds that are not valid.

    NaN and infinite numbers are in no range, whatever its bounds.
    """

    low: float | None = None
    high: float | None = None
    above: bool = False
    below: bool = False
    special: tuple[float, ...] = ()
    excluded: tuple[float, ...] = ()

    def __contains__(self, number: float) -> bool:
        if number in self.special:
            return True
        # Python's whole numbers are unbounded; one that no float can hold is infinite to torch.
        if number in self.excluded or not abs(number) <= sys.float_info.max:
            return False
        high_enough = self.low is None or (number > self.low if self.above else number >= self.low)
        return high_enough and (self.high is None or (number < self.high if self.below else number <= self.high))

    def __str__(self) -> str:
        parts = []
        if self.low is not None:
            parts.append(f"{'above' if self.above else 'of at least'} {self.low:.10g}")
        if self.high is not None:
            parts.append(f"{'below' if self.below else 'of at most'} {self.high:.10g}")
        text = " and ".join(parts) or "that is finite"
        text += "".join(f", not {number:g}" for number in self.excluded)
        return text + "".join(f", or {number:g}" for number in self.special)


AT_LEAST_1 = Range(low=1)
AT_LEAST_0 = Range(low=0)
ABOVE_0 = Range(low=0, above=True)
SHARE = Range(low=0, high=1, below=True)
FINITE = Range()


@dataclass(frozen=True, slots=True)
class Conflict:
    """A combination that is refused.

    Args:
        flag, value: the other flag and its value, as a word.
        why: the reason, and what to do instead.
        own: the value of this flag that conflicts with it; None for any value except false.
        only: the only value of this flag that does not conflict; None to name no such value.
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
        default: the value if the flag is not given; None if there is none, or if it depends on the run.
        value: the placeholder for the value in --help; empty for yes/no flags.
        choices: the valid names; () for any.
        range: the valid numbers; None for any.
        stages: the stages that use it; () for every stage.
        heads: the heads that use it; () for every head.
        bare: the value if no word follows; None if a word must follow.
        conflicts: combinations that are refused.
        field: the engine's name for it, if the engine reads it; "duma.width" is `width` in the settings' `duma`.
        arguments: for the project's own flags, the argument class of upstream that gets it: "data" or "finetuning";
            "" if upstream declares it, or if no parser of upstream sees it.
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
        """Convert the words after the flag to its value; a bare yes/no flag is true.

        A flag that may be bare, and otherwise has one of its choices, also takes true and false, as config files write
        them.

        Raises:
            UserError: no word or several, the wrong type, a number out of range, an unknown name.
        """
        if not words and self.type is bool:
            return True
        if not words and self.bare is not None:
            return self.bare
        if self.bare in self.choices and len(words) == 1 and words[0].lower() in TRUE | FALSE:
            return self.bare if words[0].lower() in TRUE else None
        if not words:
            raise UserError(f"--{self.name} needs a value")
        if len(words) > 1:
            raise UserError(f"--{self.name} takes one value, found {len(words)}")
        value = _CONVERT[self.type](self, words[0])
        problem = self.problem(value)
        if problem:
            raise UserError(f"--{self.name} {words[0]}: {problem}")
        return value

    def problem(self, value: Any) -> str:
        """Why a value is invalid, and what is valid; "" if the value is valid."""
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
