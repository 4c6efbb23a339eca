"""The command line as an ordered mapping from flag names to words, before the words have types.

2023's names, profiles and config files are all resolved in this form; `llmtuner.cli.flags` then types the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from llmtuner.errors import UserError
from llmtuner.spec.flag import FALSE, TRUE

# Upstream's flags that take several words (argparse nargs="+"). Every other flag takes one word or none.
LIST_FLAGS = frozenset({"debug", "include_for_metrics", "label_names"})

COMMAND_LINE = "command line"

FLAG_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FLAG = re.compile(r"--([A-Za-z_][A-Za-z0-9_-]*)(?:=(.*))?", re.DOTALL)
_NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|-inf|-nan")
# What argparse accepts as a negative number; exponents are not included.
_NEGATIVE_FOR_ARGPARSE = re.compile(r"-\d+|-\d*\.\d+")


class Words:
    """Flag names (with underscores, without dashes) and their words, in the order given. A bare flag has no words.

    `notices` has one line for each flag that was not taken literally; `origins` says where each flag was given.
    """

    def __init__(self, flags: Mapping[str, Sequence[str]] | None = None) -> None:
        self._flags: dict[str, list[str]] = {}
        self.notices: list[str] = []
        self.origins: dict[str, str] = {}
        for name, values in (flags or {}).items():
            self.set(name, *values)

    @classmethod
    def from_argv(cls, argv: Sequence[str]) -> Words:
        """Read `--name`, `--name value...` and `--name=value`.

        Raises:
            UserError: a word belongs to no flag, or a word with dashes is neither a flag nor a value.
        """
        flags = cls()
        name = ""
        values: list[str] = []
        closed = True  # no word can follow: no flag yet, or the last one was --name=value
        for word in argv:
            if _is_value(word):
                if closed:
                    raise UserError(_stray(word, name))
                values.append(word)
                continue
            flags._add(name, values)
            name, inline = _read_flag(word)
            values, closed = ([], False) if inline is None else ([inline], True)
        flags._add(name, values)
        return flags

    def _add(self, name: str, values: Sequence[str]) -> None:
        if not name:
            return
        if name in self:
            self.notices.append(f"--{name} is given more than once: the last value is used")
        self.set(name, *values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _canonical(name) in self._flags

    def __iter__(self) -> Iterator[str]:
        return iter(self._flags)

    def __len__(self) -> int:
        return len(self._flags)

    def __eq__(self, other: object) -> bool:
        # The order matters: for `--x --no_x` the parser takes the last one.
        return isinstance(other, Words) and list(self._flags.items()) == list(other._flags.items())

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Words({self._flags!r})"

    def values(self, name: str) -> list[str]:
        """Every word of the flag; empty if it is bare or absent."""
        return list(self._flags.get(_canonical(name), ()))

    def get(self, name: str) -> str | None:
        """The flag's only word, or None if it is absent.

        Raises:
            UserError: the flag is bare or has several words.
        """
        if name not in self:
            return None
        values = self.values(name)
        if not values:
            raise UserError(f"--{_canonical(name)} needs a value")
        if len(values) > 1:
            raise UserError(f"--{_canonical(name)} takes one value, found {len(values)}")
        return values[0]

    def is_true(self, name: str) -> bool:
        """Whether a yes/no flag is on: bare, or with a word that HfArgumentParser reads as true.

        Raises:
            UserError: its word is neither true nor false.
        """
        if name not in self:
            return False
        if not self.values(name):
            return True
        value = self.get(name) or ""
        if value.lower() in TRUE:
            return True
        if value.lower() in FALSE:
            return False
        raise UserError(f"--{_canonical(name)} is a yes/no flag: expected true or false, found {value!r}")

    def set(self, name: str, *values: str, origin: str = COMMAND_LINE) -> None:
        """Set the flag's words and move it to the end, as if it had been given last.

        Args:
            origin: where the words come from.

        Raises:
            UserError: no flag has such a name, or the words are not valid on a command line.
        """
        name = _canonical(name)
        if not FLAG_NAME.fullmatch(name):
            raise UserError(f"{name!r} is not a flag name: expected letters, digits and underscores")
        if len(values) > 1:
            _check_several(name, values)
        self._flags.pop(name, None)
        self._flags[name] = list(values)
        self.origins[name] = origin

    def remove(self, name: str) -> None:
        """Remove the flag; an absent flag is no error."""
        self._flags.pop(_canonical(name), None)
        self.origins.pop(_canonical(name), None)

    def rename(self, old: str, new: str) -> None:
        """Rename the flag without moving it.

        Raises:
            KeyError: `old` is not given.
            ValueError: `new` is already given.
        """
        old, new = _canonical(old), _canonical(new)
        if old not in self._flags:
            raise KeyError(old)
        if new in self._flags:
            raise ValueError(f"--{new} is already given")
        self._flags = {new if name == old else name: values for name, values in self._flags.items()}
        self.origins[new] = f"{self.origins.pop(old)}, as --{old}"

    def to_argv(self) -> list[str]:
        """The words for a parser. One value becomes `--name=value`, so that dashes, spaces and empty values survive."""
        argv: list[str] = []
        for name, values in self._flags.items():
            argv += [f"--{name}={values[0]}"] if len(values) == 1 else [f"--{name}", *values]
        return argv


def _canonical(name: str) -> str:
    return name.replace("-", "_")


def _is_value(word: str) -> bool:
    # As in argparse: a word that contains a space is text even if it begins with a dash.
    if not word.startswith("-") or word == "-" or _NEGATIVE.fullmatch(word):
        return True
    return not _FLAG.fullmatch(word) and any(character.isspace() for character in word)


def _read_flag(word: str) -> tuple[str, str | None]:
    if word == "-h":
        return "help", None
    match = _FLAG.fullmatch(word)
    if match is None:
        raise UserError(
            f"{word!r} is neither a flag nor a value: flags look like --name; a value that begins with a dash is "
            f"written --name={word}"
        )
    return _canonical(match[1]), match[2]


def _stray(word: str, name: str) -> str:
    if not name:
        return (
            f"{word!r} comes before any flag: expected --name value, or a config file (.yaml, .yml, .json) as the "
            "first word"
        )
    return f"{word!r} belongs to no flag: --{name}=... already has its value; put a value with spaces in quotes"


def _check_several(name: str, values: Sequence[str]) -> None:
    if name not in LIST_FLAGS:
        several = ", ".join(f"--{flag}" for flag in sorted(LIST_FLAGS))
        raise UserError(
            f"{values[1]!r} belongs to no flag: --{name} already has its value; put a value with spaces in quotes, and "
            f"separate names by commas without spaces (only {several} take several values)"
        )
    for value in values:
        if value.startswith("-") and value != "-" and not _NEGATIVE_FOR_ARGPARSE.fullmatch(value) and " " not in value:
            raise UserError(f"--{name}: {value!r} begins with a dash and cannot be in a list of values")
