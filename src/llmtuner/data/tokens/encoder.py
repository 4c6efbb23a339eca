"""What every encoder of prompts can do, and which one a layout's text and a kind of model need."""

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
        """The token ids that are read, one list a sequence."""
        ...

    @property
    def count(self) -> int:
        """Options of the question."""
        ...


class PromptEncoder(Protocol):
    """Questions into tokens, in a form that can be stored and used again.

    Attributes:
        cutoff_len: tokens of a question at most; only the end of its context is cut.
    """

    cutoff_len: int

    @classmethod
    def from_json(
        cls, tokenizer: Any, stored: Mapping[str, Any], *, cutoff_len: int, template: Template | None = None
    ) -> Self:
        """The encoder of prompts of a stored form; a template makes the forms that are not stored.

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
        """Everything that makes the same prompts again, in plain numbers.

        Args:
            template: the template's name, for people.
            counts: numbers of options to store joint prompts for.
        """
        ...

    @property
    def largest_id(self) -> int:
        """The largest token of the template's own."""
        ...


# By a layout's text and a model's kind.
ENCODERS: dict[tuple[str, str], type[PromptEncoder]] = {
    ("option", "causal"): OptionEncoder,
    ("option", "encoder"): PairEncoder,
    ("joint", "causal"): JointEncoder,
}
