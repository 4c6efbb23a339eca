"""One sequence per option, as token ids with the spans of context, question and option text in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from llmtuner.data.prompt import Field, compose_option
from llmtuner.data.question import Question
from llmtuner.data.tokens.fields import (
    Skeleton,
    Template,
    build_skeleton,
    cut_to_fit,
    encode_fields,
    largest_literal,
    skeleton_from_json,
    skeleton_to_json,
)
from llmtuner.errors import DataError

Span = tuple[int, int]
CONTEXT, QUESTION, OPTION = Field("context"), Field("question"), Field("option")


@dataclass(frozen=True, slots=True)
class OptionTokens:
    """The n sequences of a question. Spans are [begin, end) within a sequence and follow the text.

    Args:
        sequences: context, question, option and the template's closing tokens, for each option.
        context, question: their spans, the same in every sequence; the context's is empty if there is none.
        options: the span of each option's text in its own sequence; empty for a blank option.
        cut: tokens taken from the end of the context.
        over: tokens by which the longest sequence exceeds the limit even without the context.
        second: index of a pair's second text (token type 1), for encoders; 0 for causal models.
    """

    sequences: list[list[int]]
    context: Span
    question: Span
    options: list[Span]
    cut: int
    over: int
    second: int = 0

    @property
    def count(self) -> int:
        """The number of options of the question."""
        return len(self.sequences)

    @property
    def prefix_length(self) -> int:
        """The number of tokens that all sequences share at the start; each keeps at least one token of its own.

        It may extend into option text ("the left ...", "the right ..."), which is why spans do not depend on it.
        """
        # In sorted order, what the first and the last share, all share.
        low, high = min(self.sequences), max(self.sequences)
        own = min(map(len, self.sequences)) - 1
        return next((place for place in range(own) if low[place] != high[place]), own)


@dataclass
class OptionEncoder:
    """Turns questions into one sequence per option, each of at most `cutoff_len` tokens.

    Only the end of the context is cut, as far as the longest option needs, so that all options of a question see the
    same context. A question that is too long even without its context loses the beginning of its question text.
    """

    tokenizer: Any
    template: Template | None
    cutoff_len: int
    skeletons: dict[bool, Skeleton] = field(default_factory=dict)
    typed: bool = False  # whether the option's tokens have their own token type (encoders)
    positions: int | None = None

    def encode(self, questions: Sequence[Question]) -> list[OptionTokens]:
        """Encode a batch; one tokenizer call for all its texts.

        Raises:
            DataError: an option gives no token, neither its own nor the template's closing ones.
        """
        texts = [text for question in questions for text in self._texts(question)]
        ids = iter(encode_fields(self.tokenizer, texts))
        return [self._encode_one(question, ids) for question in questions]

    @classmethod
    def from_json(
        cls, tokenizer: Any, stored: Mapping[str, Any], *, cutoff_len: int, template: Template | None = None
    ) -> Self:
        """The encoder for a stored form of prompts; a template makes the forms that are not stored."""
        forms = {form["context"]: skeleton_from_json(form["form"]) for form in stored.get("option", ())}
        return cls(tokenizer, template, cutoff_len, forms)

    def to_json(self, template: str | None, counts: Iterable[int] = ()) -> dict[str, Any]:
        """The prompt forms with and without a context; `from_json` needs no template."""
        for with_context in (False, True):
            self._skeleton(with_context)
        option = [{"context": context, "form": skeleton_to_json(form)} for context, form in self.skeletons.items()]
        return {"template": template, "option": option}

    @property
    def largest_id(self) -> int:
        """The largest token id that comes from the template itself."""
        return largest_literal(self.skeletons.values())

    def _texts(self, question: Question) -> tuple[str, ...]:
        return question.context, question.question, *question.options

    def _encode_one(self, question: Question, ids: Iterator[list[int]]) -> OptionTokens:
        context, asked, *options = [next(ids) for _ in range(2 + len(question.options))]
        longest = max(map(len, options))
        context, asked, cut, over = cut_to_fit(
            context, asked, lambda with_context: self._fixed_length(with_context) + longest, self.cutoff_len
        )
        filled = [self._fill(context, asked, option) for option in options]
        if not all(sequence for sequence, _ in filled):
            raise DataError(f"{question.where}: id {question.shown_id}: an option gives no tokens")
        spans = filled[0][1]
        return OptionTokens(
            sequences=[sequence for sequence, _ in filled],
            context=spans.get(CONTEXT, (0, 0)),
            question=spans[QUESTION],
            options=[places[OPTION] for _, places in filled],
            cut=cut,
            over=over,
            second=filled[0][1][OPTION][0] if self.typed else 0,
        )

    def _fill(self, context: list[int], asked: list[int], option: list[int]) -> tuple[list[int], dict[Field, Span]]:
        skeleton = self._skeleton(bool(context))
        tokens = {CONTEXT: context, QUESTION: asked, OPTION: option}
        ids: list[int] = []
        spans: dict[Field, Span] = {}
        for part in (*skeleton.prompt, *skeleton.response):
            begin = len(ids)
            ids += tokens[part] if isinstance(part, Field) else [part]
            if isinstance(part, Field):
                spans[part] = (begin, len(ids))
        return ids, spans

    def _skeleton(self, with_context: bool) -> Skeleton:
        if with_context not in self.skeletons:
            user, answer = compose_option(with_context=with_context)
            self.skeletons[with_context] = build_skeleton(self.tokenizer, self.template, user, answer)
        return self.skeletons[with_context]

    def _fixed_length(self, with_context: bool) -> int:
        skeleton = self._skeleton(with_context)
        return sum(not isinstance(part, Field) for part in (*skeleton.prompt, *skeleton.response))
