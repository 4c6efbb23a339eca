"""The flags of a command as typed values, each with its origin. Flags are read once and never changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from llmtuner.cli.words import COMMAND_LINE, Words
from llmtuner.data.read_as import DEFAULT_BASE, split_query
from llmtuner.errors import UserError
from llmtuner.files import split_paths
from llmtuner.spec.flags import FIELDS, FLAGS

ANSWER_BASE = "mcq_answer_base"
PATHS = frozenset(
    {
        "model_name_or_path",
        "adapter_name_or_path",
        "dataset",
        "eval_dataset",
        "dataset_dir",
        "tokenized_path",
        "output_dir",
        "resume_from_checkpoint",
        "cache_dir",
        "mcq_prompt",
        "mcq_shots_from",
        "retrieve",
        "retrieve_rerank",
    }
)


@dataclass(frozen=True, slots=True)
class Given:
    """One flag of a command.

    Args:
        words: the words after the flag.
        value: the typed value if this project declares the flag; the words themselves if only upstream does.
        origin: where it was given: the command line, a file and line, a profile, or stored with a model.
    """

    words: tuple[str, ...]
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of a command by name, in the order given."""

    given: Mapping[str, Given] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, words: Words) -> Flags:
        """Convert the words to typed values.

        Raises:
            UserError: all invalid values, in one message.
        """
        given: dict[str, Given] = {}
        problems: list[str] = []
        for name in words:
            try:
                given[name] = _given(name, tuple(words.values(name)), words.origins[name])
            except UserError as error:
                origin = words.origins[name]
                problems.append(str(error) if origin == COMMAND_LINE else f"{origin}: {error}")
        if problems:
            raise UserError("\n".join(problems))
        return cls(MappingProxyType(given))

    def __contains__(self, name: object) -> bool:
        return name in self.given

    def __iter__(self) -> Iterator[str]:
        return iter(self.given)

    def __getitem__(self, name: str) -> Any:
        """The given value of a declared flag, or its default."""
        return self.given[name].value if name in self.given else FLAGS[name].default

    def names(self, name: str) -> list[str]:
        """The parts of a comma-separated value."""
        if name == "adapter_name_or_path":
            return split_paths(self[name] or "")
        return [part.strip() for part in (self[name] or "").split(",") if part.strip()]

    def fields(self) -> dict[str, Any]:
        """The given values that the engine reads, by the engine's field names."""
        return {field: self.given[flag.name].value for field, flag in FIELDS.items() if flag.name in self.given}

    def with_(self, origin: str, **values: str) -> Flags:
        """A copy with more flags, which replace earlier ones of the same name.

        Args:
            origin: where the new flags come from.
        """
        added = {name: _given(name, (word,), origin) for name, word in values.items()}
        return Flags(MappingProxyType({**self.given, **added}))

    def with_home(self) -> Flags:
        """A copy with "~" replaced in paths. A shell does that, YAML does not, and transformers does it in some."""
        expanded = {
            name: ",".join(os.path.expanduser(part) for part in given.words[0].split(","))
            for name, given in self.given.items()
            if name in PATHS and given.words and "~" in given.words[0]
        }
        return Flags(
            MappingProxyType(
                {
                    name: _given(name, (expanded[name],), given.origin) if name in expanded else given
                    for name, given in self.given.items()
                }
            )
        )

    def with_answer_base(self) -> Flags:
        """A copy in which --mcq_answer_base stands behind the names of data sets, as the default of their files.

        So it goes with them wherever they go: into the engine, upstream's loader, and what a run records.
        """
        if ANSWER_BASE not in self.given:
            return self
        base = self[ANSWER_BASE]
        changed = {
            name: ",".join(part if base == "auto" else _with_base(part, base) for part in self.names(name))
            for name in ("dataset", "eval_dataset", "mcq_shots_from")
            if name in self.given
        }
        given = {
            name: _given(name, (changed[name],), given.origin) if name in changed else given
            for name, given in self.given.items()
            if name != ANSWER_BASE
        }
        return Flags(MappingProxyType(given))

    def without(self, *names: str) -> Flags:
        """A copy without some flags."""
        return Flags(MappingProxyType({name: given for name, given in self.given.items() if name not in names}))

    def to_argv(self) -> list[str]:
        """The words for a parser."""
        return Words({name: given.words for name, given in self.given.items()}).to_argv()


def _with_base(name: str, base: str) -> str:
    query = split_query(name)[1]
    if "answer_base=" in query:
        return name
    return f"{name}{'&' if query else '?'}{DEFAULT_BASE}={base}"


def _given(name: str, words: tuple[str, ...], origin: str) -> Given:
    return Given(words, FLAGS[name].parse(words) if name in FLAGS else words, origin)
