"""The protocol of all prompt encoders, and which one a layout's text and a kind of model need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, Self

from llmtuner.data.question import Question
from llmtuner.data.tokens.fields import Template
from llmtuner.data.tokens.joint import JointEncoder
from llmtuner.data.tokens.option import OptionEncoder
from llmtuner.data.tokens.pair import PairEncoder


class Tokens(Protocol):
    """The tokens of one question: `OptionTokens` or `JointTokens`."""

    @property
    def cut(self) -> int:
        """Tokens taken from the end of the context."""
        ...

    @property
    def over(self) -> int:
        """Tokens by which the question is too long even without its context."""
        ...

    @property
    def sequences(self) -> list[list[int]]:
        """The token ids that the model reads, one list per sequence."""
        ...

    @property
    def count(self) -> int:
        """The number of options of the question."""
        ...


class PromptEncoder(Protocol):
    """Turns questions into tokens, by a form of prompts that can be stored and used again.

    Attributes:
        tokenizer: the model's.
        cutoff_len: the most tokens of a question; the end of its context is cut, then the beginning of the question.
        positions: the most tokens that the model can read at all; None if there is no end.
    """

    tokenizer: Any
    cutoff_len: int
    positions: int | None

    @classmethod
    def from_json(
        cls, tokenizer: Any, stored: Mapping[str, Any], *, cutoff_len: int, template: Template | None = None
    ) -> Self:
        """The encoder for a stored form of prompts; a template makes the forms that are not stored.

        Args:
            stored: what `to_json` returned; {} for a new form.
        """
        ...

    def encode(self, questions: Sequence[Question]) -> Sequence[Any]:
        """The tokens of each question.

        Raises:
            DataError: a question gives no tokens.
        """
        ...

    def to_json(self, template: str | None, counts: Iterable[int] = ()) -> dict[str, Any]:
        """Everything needed to make the same prompts again, as plain numbers.

        Args:
            template: the template's name, for people.
            counts: numbers of options to store joint prompts for.
        """
        ...

    @property
    def largest_id(self) -> int:
        """The largest token id that comes from the template itself."""
        ...


# By a layout's text and a model's kind.
ENCODERS: dict[tuple[str, str], type[PromptEncoder]] = {
    ("option", "causal"): OptionEncoder,
    ("option", "encoder"): PairEncoder,
    ("joint", "causal"): JointEncoder,
}
