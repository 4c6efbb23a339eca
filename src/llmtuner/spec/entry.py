"""What every declared name has: one line of help, and the place of its code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, TypeVar

from llmtuner.suggest import did_you_mean

KINDS = ("causal", "encoder")  # kinds of models: decoders with a chat template, bidirectional encoders of text pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A name that can be chosen.

    Args:
        name: as it is written on the command line.
        code: "module:object", imported on demand.
        help: one line.
    """

    name: str
    code: str
    help: str

    def load(self) -> Any:
        """The object itself."""
        module, _, attribute = self.code.partition(":")
        return getattr(import_module(module), attribute)


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """The name."""
        ...


N = TypeVar("N", bound=Named)


def table(*entries: N) -> dict[str, N]:
    """Entries by name, in the order given."""
    by_name = {entry.name: entry for entry in entries}
    assert len(by_name) == len(entries), "a name is declared twice"
    return by_name


def choose_from(name: object, names: Iterable[str]) -> str:
    """The end of a message about an unknown name: the valid names, and the nearest one."""
    names = list(names)
    return f"unknown value; choose from: {', '.join(names)}.{did_you_mean(str(name), names)}"
