"""How the contexts of questions are retrieved: what a command is told, and what a run stores."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from llmtuner.data.question import Question, is_blank
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
        fingerprint, reranker: digests of the index's and of the reranker's content; "" before they were looked at, and
            without a reranker.

    Raises:
        UserError: an unknown value, or a number below 1.
    """

    index: str
    k: int = 5
    max_words: int = 300
    query: QueryKind = "all"
    order: Order = "best_last"
    rerank: str | None = None
    replace: bool = False
    fingerprint: str = ""
    reranker: str = ""

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
        names = {each.name: str(each.type) for each in fields(cls)}
        kinds = {"bool": bool, "str": str, "str | None": str | None}
        if set(stored) != {*names} or not all(
            isinstance(stored[name], kinds.get(kind, object)) for name, kind in names.items()
        ):
            raise UserError(f"damaged settings of the retrieval: expected the keys {', '.join(sorted(names))}")
        return cls(**stored)

    @property
    def content(self) -> dict[str, Any]:
        """What the context of a question depends on: not where files are, and not which questions get another one."""
        return {name: value for name, value in self.to_json().items() if name not in ("index", "rerank", "replace")}

    def fills(self, question: Question) -> bool:
        """Whether a question gets a context: one without a visible character is none."""
        return self.replace or is_blank(question.context)


def retrieve_of(value_of: Callable[[str], Any]) -> Retrieve | None:
    """The settings by the values of their flags; None without an index.

    Args:
        value_of: the value of a flag, by its name.
    """
    index = value_of(FLAG)
    if index is None:
        return None
    return Retrieve(index=index, **{name: value_of(f"{FLAG}_{name}") for name in FIELDS})


def with_flags(message: str, prefix: str = "") -> str:
    """A message in which the names of settings, in `backticks`, are flags: --k, or --retrieve_k by its prefix."""
    return re.sub(rf"`({'|'.join(FIELDS)})`", rf"--{prefix}\1", message)
