"""One sequence per option, as token ids with the spans of context, question and option text in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from llmtuner.data.prompt import CONTEXT, OPTION, QUESTION, Field, compose_neutral, compose_option, question_text
from llmtuner.data.question import Question, is_blank
from llmtuner.data.tokens.fields import (
    Skeleton,
    Template,
    build_skeleton,
    cut_to_fit,
    encode_fields,
    largest_literal,
    runs_of_ids,
    skeleton_from_json,
    skeleton_to_json,
)
from llmtuner.data.tokens.shots import Shots, encode_turns, filled_turns, require_room
from llmtuner.data.tokens.stored import form_of, form_to_json
from llmtuner.data.tokens.templates import NoTemplate
from llmtuner.errors import DataError, UserError
from llmtuner.spec.prompts import TEMPLATE, PromptForm

Span = tuple[int, int]


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
        characters: code points of each option's text as it stands in the file; 0 for a text with no visible character.
        shots: tokens at the start of every sequence that are solved examples.
    """

    sequences: list[list[int]]
    context: Span
    question: Span
    options: list[Span]
    cut: int
    over: int
    second: int = 0
    characters: list[int] = field(default_factory=list)
    shots: int = 0

    @property
    def count(self) -> int:
        """The number of options of the question."""
        return len(self.sequences)

    def scored(self, option: int) -> Span:
        """The tokens whose likelihood is the option's: those of its text; none for a blank option."""
        begin, end = self.options[option]
        return (begin, end) if self.characters[option] else (begin, begin)

    @property
    def prefix_length(self) -> int:
        """The number of tokens that all sequences share at the start; each keeps at least one token of its own.

        It may extend into option text ("the left ...", "the right ..."), which is why spans do not depend on it.
        """
        # In sorted order, what the first and the last share, all share.
        low, high = min(self.sequences), max(self.sequences)
        own = min(map(len, self.sequences)) - 1
        return next((place for place in range(own) if low[place] != high[place]), own)


@dataclass(frozen=True, slots=True)
class _Form:
    """A skeleton, prepared for filling: what comes before the option and after it.

    Args:
        length: tokens of the skeleton itself.
        leads: the blanks that are tokenised with each field.
    """

    before: list[list[int] | Field]
    after: list[int]
    length: int
    leads: dict[Field, str]

    @classmethod
    def of(cls, skeleton: Skeleton) -> _Form:
        parts = (*skeleton.prompt, *skeleton.response)
        place = parts.index(OPTION)
        after = [part for part in parts[place + 1 :] if not isinstance(part, Field)]
        assert len(parts) == place + 1 + len(after), "the option is the last field of a sequence"
        leads = {part: part.lead for part in parts if isinstance(part, Field)}
        return cls(runs_of_ids(parts[:place]), after, sum(not isinstance(part, Field) for part in parts), leads)


@dataclass
class OptionEncoder:
    """Turns questions into one sequence per option, each of at most `cutoff_len` tokens.

    Only the end of the context is cut, as far as the longest option needs, so that all options of a question see the
    same context. A question that is too long even without its context loses the beginning of its question text.

    Attributes:
        typed: whether the option's tokens have their own token type (encoders).
        positions: the most tokens that the model can read at all; None if there is no end.
        likelihood: whether an option is scored by the likelihood of its text, which may be compared with its likelihood
            after the neutral prompt.
        neutral: that prompt, without context, question and shots; None until it is needed.
        form: the texts of the prompt.
        shots: solved examples in front of every question; they count in `cutoff_len` and are never cut.
    """

    tokenizer: Any
    template: Template | None
    cutoff_len: int
    skeletons: dict[bool, Skeleton] = field(default_factory=dict)
    typed: bool = False
    positions: int | None = None
    likelihood: bool = False
    neutral: Skeleton | None = None
    form: PromptForm = TEMPLATE
    shots: Shots = field(default_factory=Shots)
    _forms: dict[bool, _Form] = field(default_factory=dict, repr=False)

    def encode(self, questions: Sequence[Question]) -> list[OptionTokens]:
        """Encode a batch; one tokenizer call for all its texts.

        Raises:
            DataError: an option gives no token, neither its own nor the template's closing ones; the shots leave no
                room for a question.
        """
        texts = [text for question in questions for text in self._texts(question)]
        ids = iter(encode_fields(self.tokenizer, texts))
        return [self._encode_one(question, ids) for question in questions]

    def encode_neutral(self, questions: Sequence[Question]) -> list[OptionTokens]:
        """The options behind the neutral prompt, with the same tokens as in `encode`."""
        form = _Form.of(self._neutral())
        head, _ = _fill(form.before, {})
        texts = [self._option_text(text) for question in questions for text in question.options]
        ids = iter(encode_fields(self.tokenizer, texts))
        encoded = []
        for question in questions:
            options = [next(ids) for _ in question.options]
            encoded.append(self._tokens(question, head, options, form, (0, 0), (len(head), len(head)), 0, 0))
        return encoded

    @classmethod
    def from_json(
        cls, tokenizer: Any, stored: Mapping[str, Any], *, cutoff_len: int, template: Template | None = None
    ) -> Self:
        """The encoder for a stored form of prompts; a template makes the forms that are not stored."""
        forms = {form["context"]: skeleton_from_json(form["form"]) for form in stored.get("option", ())}
        neutral, form = stored.get("neutral"), form_of(stored)
        return cls(
            tokenizer,
            template if form.turns else NoTemplate(),
            cutoff_len,
            forms,
            neutral=neutral and skeleton_from_json(neutral),
            form=form,
            shots=Shots.from_json(stored),
        )

    def to_json(self, template: str | None, counts: Iterable[int] = ()) -> dict[str, Any]:
        """The prompt forms with and without a context, and the neutral one if it is for `likelihood`.

        `from_json` needs no template.
        """
        for with_context in (False, True):
            self._skeleton(with_context)
        option = [{"context": context, "form": skeleton_to_json(form)} for context, form in self.skeletons.items()]
        for number in self.shots.places if self.shots else ():
            self.shots.ids.setdefault(number, self._solved(self.shots.chosen(number)))
        stored: dict[str, Any] = {"template": template, **form_to_json(self.form), "option": option}
        stored |= self.shots.to_json()
        if self.likelihood:
            stored["neutral"] = skeleton_to_json(self._neutral())
        return stored

    @property
    def largest_id(self) -> int:
        """The largest token id that comes from the template itself."""
        return largest_literal(self.skeletons.values())

    def _texts(self, question: Question) -> tuple[str, ...]:
        shown = question.context if self.form.context else ""
        leads = self._form(bool(shown)).leads
        asked = leads[QUESTION] + question_text(self.form, question.question)
        return leads.get(CONTEXT, "") + shown if shown else "", asked, *map(self._option_text, question.options)

    def _option_text(self, text: str) -> str:
        return self._form(False).leads[OPTION] + text if text else ""

    def _encode_one(self, question: Question, ids: Iterator[list[int]]) -> OptionTokens:
        context, asked, *options = [next(ids) for _ in range(2 + len(question.options))]
        longest = max(map(len, options))
        before = self._before(question)
        context, asked, cut, over = cut_to_fit(
            context,
            asked,
            lambda with_context: len(before) + self._form(with_context).length + longest,
            self.cutoff_len,
        )
        form = self._form(bool(context))
        head, spans = _fill(form.before, {CONTEXT: context, QUESTION: asked}, before)
        tokens = self._tokens(question, head, options, form, spans.get(CONTEXT, (0, 0)), spans[QUESTION], cut, over)
        return replace(tokens, shots=len(before)) if before else tokens

    def _before(self, question: Question) -> list[int]:
        if not self.shots:
            return []
        before = self.shots.before(question, self._solved)
        require_room(self.shots, before, self._form(False).length, self.cutoff_len)
        return before

    def _solved(self, shots: Sequence[Question]) -> list[int]:
        """The token ids of shots, each with its right option."""
        solved = [replace(shot, options=(shot.options[shot.answer or 0],)) for shot in shots]
        turns = [compose_option(self.form, with_context=bool(shot.context)) for shot in solved]
        asked = compose_option(self.form, with_context=False)
        parts, _ = encode_turns(self.tokenizer, self.template, self.form, turns, asked)
        return filled_turns(self.tokenizer, self.form, parts, solved)

    def _tokens(
        self,
        question: Question,
        head: list[int],
        options: Sequence[list[int]],
        form: _Form,
        context: Span,
        asked: Span,
        cut: int,
        over: int,
    ) -> OptionTokens:
        """The sequences of options behind the same head."""
        sequences = [[*head, *option, *form.after] for option in options]
        if not all(sequences):
            raise DataError(f"{question.where}: id {question.shown_id}: an option gives no tokens")
        begin = len(head)
        return OptionTokens(
            sequences=sequences,
            context=context,
            question=asked,
            options=[(begin, begin + len(option)) for option in options],
            cut=cut,
            over=over,
            second=begin if self.typed else 0,
            characters=[0 if is_blank(text) else len(text) for text in question.options],
        )

    def _form(self, with_context: bool) -> _Form:
        form = self._forms.get(with_context)
        if form is None:
            form = self._forms[with_context] = _Form.of(self._skeleton(with_context))
        return form

    def _skeleton(self, with_context: bool) -> Skeleton:
        if with_context not in self.skeletons:
            before = [compose_option(self.form, with_context=bool(shot.context)) for shot in self.shots.chosen()]
            asked = compose_option(self.form, with_context=with_context)
            _, self.skeletons[with_context] = encode_turns(self.tokenizer, self.template, self.form, before, asked)
        return self.skeletons[with_context]

    def _neutral(self) -> Skeleton:
        """The form without context and question, and with the same tokens around them and before the option.

        Raises:
            UserError: nothing would stand before the option, and the tokenizer has no begin or end token.
        """
        if self.neutral is None:
            if self.form == TEMPLATE and not self.shots:
                bare = self._skeleton(False)
            else:
                asked, answer = compose_neutral(self.form)
                bare = build_skeleton(self.tokenizer, self.template, asked, answer, self.form.system or None)
            prompt = tuple(part for part in bare.prompt if part != QUESTION)
            if not prompt and bare.response[0] == OPTION:  # its first token needs one that predicts it
                prompt = (_first_token(self.tokenizer),)
            self.neutral = Skeleton(prompt, bare.response)
        return self.neutral


def _first_token(tokenizer: Any) -> int:
    """The begin token, or the end token, which ends the text before, for tokenizers without one."""
    known = [token for token in (tokenizer.bos_token_id, tokenizer.eos_token_id) if token is not None]
    if not known:
        raise UserError("this tokenizer has no begin or end token, and the template puts nothing before an option")
    return known[0]


def _fill(
    runs: Sequence[list[int] | Field], tokens: Mapping[Field, list[int]], before: Sequence[int] = ()
) -> tuple[list[int], dict[Field, Span]]:
    """The ids of runs behind others, and the spans of their fields."""
    ids = list(before)
    spans: dict[Field, Span] = {}
    for run in runs:
        begin = len(ids)
        if isinstance(run, Field):
            ids += tokens[run]
            spans[run] = (begin, len(ids))
        else:
            ids += run
    return ids, spans
