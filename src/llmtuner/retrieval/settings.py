"""How the contexts of questions are retrieved: what a command is told, and what a run stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from llmtuner.errors import UserError
from llmtuner.retrieval.contexts import Order
from llmtuner.retrieval.queries import QueryKind
from llmtuner.spec.entry import choose_from
from llmtuner.spec.retrievers import CONTEXT_ORDERS, QUERY_KINDS

FLAG = "retrieve"
FIELDS = ("k", "max_words", "query", "order", "rerank", "replace")  # with a flag each: --retrieve_k, ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieve:
    """The settings of a retrieval.

    Args:
        index: folder of the index.
        k: passages of a question, at most.
        max_words: of its context; passages are taken whole.
        query: what a question is searched by.
        order: where the best passage stands.
        rerank: folder of a cross-encoder or of a trained scorer that reads the best hits again; None for none.
        replace: whether questions that have a context get a new one.
        fingerprint: of the index's content; "" before it is opened.

    Raises:
        UserError: a value that is none of the known ones, or a number below 1.
    """

    index: str
    k: int = 5
    max_words: int = 300
    query: QueryKind = "all"
    order: Order = "best_last"
    rerank: str | None = None
    replace: bool = False
    fingerprint: str = ""

    def __post_init__(self) -> None:
        for name, known in (("query", (*QUERY_KINDS,)), ("order", CONTEXT_ORDERS)):
            if getattr(self, name) not in known:
                raise UserError(f"`{name}` {getattr(self, name)}: {choose_from(getattr(self, name), known)}")
        for name in ("k", "max_words"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise UserError(f"`{name}` {getattr(self, name)}: expected a whole number of at least 1")

    def to_json(self) -> dict[str, Any]:
        """The settings as run.json and mcq_config.json store them."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The settings that `to_json` returned.

        Raises:
            UserError: a key is unknown or missing, or a value is invalid.
        """
        names = {each.name for each in fields(cls)}
        if set(stored) != names or not isinstance(stored["index"], str):
            raise UserError(f"damaged settings of the retrieval: expected the keys {', '.join(sorted(names))}")
        return cls(**stored)

    @property
    def content(self) -> dict[str, Any]:
        """What the contexts of a question depend on: not where the index is, and not which questions are replaced."""
        return {name: value for name, value in self.to_json().items() if name not in ("index", "replace")}

    def at(self, index: Path) -> Self:
        """The same settings with the index elsewhere."""
        return type(self)(**{**self.to_json(), "index": str(index)})


def retrieve_of(values: Any) -> Retrieve | None:
    """The settings by the values of their flags, which are attributes of an object; None without an index."""
    index = getattr(values, FLAG, None)
    if index is None:
        return None
    return Retrieve(index=index, **{name: getattr(values, f"{FLAG}_{name}") for name in FIELDS})
