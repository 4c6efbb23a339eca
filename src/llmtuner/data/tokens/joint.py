"""Joint prompts as token ids, cut to a length, with the first tokens at which the letters differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, ClassVar

from llmtuner.data.prompt import Field, Turn, build_pieces, compose_letter, question_text
from llmtuner.data.question import LETTERS, Question
from llmtuner.data.tokens.fields import (
    Skeleton,
    SkeletonPart,
    Template,
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
from llmtuner.errors import UserError
from llmtuner.spec.prompts import TEMPLATE, PromptForm


@dataclass(frozen=True, slots=True)
class JointTokens:
    """One question as a joint prompt.

    Args:
        prompt: ids up to the start of the answer.
        response: ids of the answer's letter and the closing tokens; without an answer, only the closing tokens.
        letter_prefix: ids between the prompt and the first token at which the letters' sequences differ.
        letter_ids: that token for each option.
        cut: tokens taken from the end of the context.
        over: tokens by which the question is longer than the limit even without its context.
        shots: tokens at the start of the prompt that are solved examples.
    """

    prompt: list[int]
    response: list[int]
    letter_prefix: list[int]
    letter_ids: list[int]
    cut: int
    over: int
    shots: int = 0

    second: ClassVar[int] = 0  # a joint prompt is not a pair of texts

    @property
    def scored(self) -> list[int]:
        """Ids up to the token that predicts the letter."""
        return [*self.prompt, *self.letter_prefix]

    @property
    def sequences(self) -> list[list[int]]:
        """The one sequence from which all options are scored."""
        return [self.scored]

    @property
    def count(self) -> int:
        """The number of options of the question."""
        return len(self.letter_ids)


@dataclass
class JointEncoder:
    """Turns questions into joint prompts of at most `cutoff_len` tokens, answer included, whether it is given or not.

    Only the end of the context is cut. A question that is too long even without its context loses the beginning of its
    question text; shots, options, answer and the template's closing tokens are never cut.

    Attributes:
        form: the texts of the prompt.
        shots: solved examples in front of every question.
    """

    tokenizer: Any
    template: Template | None
    cutoff_len: int
    skeletons: dict[tuple[int, bool, int | None], Skeleton] = field(default_factory=dict)
    letters: dict[int, tuple[list[int], list[int]]] = field(default_factory=dict)
    positions: int | None = None
    form: PromptForm = TEMPLATE
    shots: Shots = field(default_factory=Shots)
    _forms: dict[tuple[int, bool, int | None], _Form] = field(default_factory=dict, repr=False)

    def encode(self, questions: Sequence[Question]) -> list[JointTokens]:
        """Encode a batch; one tokenizer call for all its texts."""
        texts = [text for question in questions for text in self._texts(question)]
        ids = iter(encode_fields(self.tokenizer, texts))
        return [self._encode_one(question, ids) for question in questions]

    @classmethod
    def from_json(
        cls, tokenizer: Any, stored: Mapping[str, Any], *, cutoff_len: int, template: Template | None = None
    ) -> JointEncoder:
        """The encoder for a stored form of prompts; a template makes the forms that are not stored."""
        form = form_of(stored)
        template = template if form.turns else NoTemplate()
        encoder = cls(tokenizer, template, cutoff_len, form=form, shots=Shots.from_json(stored))
        for entry in stored.get("joint", ()):
            encoder.skeletons[entry["options"], entry["context"], None] = skeleton_from_json(entry["form"])
        letters = stored.get("letters", {})
        encoder.letters |= {int(count): (list(prefix), list(ids)) for count, (prefix, ids) in letters.items()}
        return encoder

    def to_json(self, template: str | None, counts: Iterable[int] = ()) -> dict[str, Any]:
        """The prompt forms for these numbers of options, and the letters' tokens; `from_json` needs no template."""
        for with_context in (False, True):
            self._build(with_context, counts)
        joint = [
            {"options": count, "context": context, "form": skeleton_to_json(skeleton)}
            for (count, context, answer), skeleton in self.skeletons.items()
            if answer is None
        ]
        letters = {str(count): [list(prefix), list(ids)] for count, (prefix, ids) in self.letters.items()}
        for number in self.shots.places if self.shots else ():
            self.shots.ids.setdefault(number, self._solved(self.shots.chosen(number)))
        stored = {"template": template, **form_to_json(self.form), "joint": joint, "letters": letters}
        return stored | self.shots.to_json()

    @property
    def largest_id(self) -> int:
        """The largest token id that comes from the template itself."""
        return largest_literal(self.skeletons.values())

    def _build(self, with_context: bool, counts: Iterable[int]) -> None:
        for count in counts:
            self._skeleton(count, with_context, None)
            try:
                self.letter_tokens(count)
            except UserError:  # raised again if a question has that many options
                return

    def spans(self, question: Question) -> list[tuple[str, int, int]]:
        """Where the fields of a question are in its prompt and response: name, begin and end, as `encode` cuts them.

        The names are context, question, option and letter; empty fields are left out.
        """
        tokens, before, form, _, _ = self._fitted(question, iter(encode_fields(self.tokenizer, self._texts(question))))
        begin, spans = len(before), []
        for run in (*form.prompt.runs, *form.response.runs):
            end = begin + len(tokens[run] if isinstance(run, int) else run)
            if isinstance(run, int) and end > begin:
                spans.append((_name(run, len(question.options)), begin, end))
            begin = end
        return spans

    def _encode_one(self, question: Question, ids: Iterator[list[int]]) -> JointTokens:
        tokens, before, form, cut, over = self._fitted(question, ids)
        letter_prefix, letter_ids = self.letter_tokens(len(question.options))
        return JointTokens(
            prompt=[*before, *form.prompt.filled(tokens)],
            response=form.response.filled(tokens),
            letter_prefix=letter_prefix,
            letter_ids=letter_ids,
            cut=cut,
            over=over,
            shots=len(before),
        )

    def _fitted(
        self, question: Question, ids: Iterator[list[int]]
    ) -> tuple[list[list[int]], list[int], _Form, int, int]:
        """The tokens of the fields, cut to the limit, with what stands around them.

        Returns:
            (tokens by number of field, tokens of the shots, form, tokens cut, tokens over)
        """
        count = len(question.options)
        tokens = [next(ids) for _ in range(_number_of_fields(count))]
        context, asked = tokens[:_FIRST_OPTION]
        before = self._before(question) if self.shots else []

        # The longest letter's room is kept with and without an answer, so that its scores are the same.
        letter = max(map(len, tokens[_FIRST_OPTION + count :]))

        def length_of_rest(with_context: bool) -> int:
            form, own = (self._form(count, with_context, answer) for answer in (None, question.answer))
            fields = sum(len(tokens[place]) for place in form.places if place >= _FIRST_OPTION)
            return len(before) + max(form.length, own.length) + fields + letter

        tokens[0], tokens[1], cut, over = cut_to_fit(context, asked, length_of_rest, self.cutoff_len)
        return tokens, before, self._form(count, bool(tokens[0]), question.answer), cut, over

    def _texts(self, question: Question) -> list[str]:
        if self.form == TEMPLATE:
            return _texts(question)
        shown = question.context if self.form.context else ""
        question = replace(question, context=shown, question=question_text(self.form, question.question))
        leads = self._form(len(question.options), bool(shown), None).leads
        return [leads.get(place, "") + text if text else "" for place, text in enumerate(_texts(question))]

    def _before(self, question: Question) -> list[int]:
        before = self.shots.before(question, self._solved)
        form = self._form(len(question.options), False, None)
        require_room(self.shots, before, form.length, self.cutoff_len)
        return before

    def _solved(self, shots: Sequence[Question]) -> list[int]:
        """The token ids of shots, each with its options and its letter."""
        turns = self._turns(shots)
        asked = compose_letter(self.form, 2, None, with_context=False)
        parts, _ = encode_turns(self.tokenizer, self.template, self.form, turns, asked)
        return filled_turns(self.tokenizer, self.form, parts, shots)

    def _turns(self, shots: Sequence[Question]) -> list[Turn]:
        return [
            compose_letter(self.form, len(shot.options), shot.answer, with_context=bool(shot.context)) for shot in shots
        ]

    def _form(self, num_options: int, with_context: bool, answer: int | None) -> _Form:
        key = (num_options, with_context, answer)
        form = self._forms.get(key)
        if form is None:
            skeleton = self._skeleton(*key)
            form = self._forms[key] = _Form(
                _Runs.of(skeleton.prompt, num_options), _Runs.of(skeleton.response, num_options)
            )
        return form

    def _skeleton(self, num_options: int, with_context: bool, answer: int | None) -> Skeleton:
        key = (num_options, with_context, answer)
        if key not in self.skeletons:
            before = self._turns(self.shots.chosen())
            asked = compose_letter(self.form, num_options, answer, with_context=with_context)
            _, self.skeletons[key] = encode_turns(self.tokenizer, self.template, self.form, before, asked)
        return self.skeletons[key]

    def letter_tokens(self, num_options: int) -> tuple[list[int], list[int]]:
        """Ids shared by all letters' answers, and for each letter the first id at which they differ.

        Raises:
            UserError: the tokenizer gives two letters the same token there.
        """
        if num_options not in self.letters:
            letters = LETTERS[:num_options]
            responses = [self._skeleton(num_options, False, index).response for index in range(num_options)]
            leads = [next(part.lead for part in parts if isinstance(part, Field)) for parts in responses]
            encoded = encode_fields(self.tokenizer, [lead + text for lead, text in zip(leads, letters, strict=True)])
            sequences = [
                _fill(parts, {Field("letter", index): encoded[index]}) for index, parts in enumerate(responses)
            ]
            shared = 0
            for column in zip_longest(*sequences):
                if len(set(column)) > 1:
                    break
                shared += 1
            choices = [sequence[shared] if shared < len(sequence) else None for sequence in sequences]
            if len(set(choices)) < num_options or None in choices:
                raise UserError(
                    f"the tokenizer does not tell the letters {letters} apart by one token "
                    f"(ids {encoded}); letters cannot be scored with this model"
                )
            self.letters[num_options] = (sequences[0][:shared], [i for i in choices if i is not None])
        return self.letters[num_options]


# The fields of a question, in the order in which they are tokenised: context, question, options, letters.
_FIRST_OPTION = 2


def _number_of_fields(num_options: int) -> int:
    return _FIRST_OPTION + 2 * num_options


def _texts(question: Question) -> list[str]:
    pieces = build_pieces(question)
    return [pieces.context, pieces.question, *pieces.options, *pieces.letters]


def _place(field: Field, num_options: int) -> int:
    """The number of a field in that order."""
    first = {"context": 0, "question": 1, "option": _FIRST_OPTION, "letter": _FIRST_OPTION + num_options}
    return first[field.name] + field.index


def _name(place: int, num_options: int) -> str:
    """The name of the field with a number in that order."""
    if place < _FIRST_OPTION:
        return ("context", "question")[place]
    return "option" if place < _FIRST_OPTION + num_options else "letter"


@dataclass(frozen=True, slots=True)
class _Runs:
    """Part of a skeleton, prepared for filling: token ids, and the numbers of fields with the blanks before them."""

    runs: list[list[int] | int]
    leads: dict[int, str]

    @classmethod
    def of(cls, parts: Sequence[SkeletonPart], num_options: int) -> _Runs:
        leads = {_place(part, num_options): part.lead for part in parts if isinstance(part, Field)}
        return cls([_place(run, num_options) if isinstance(run, Field) else run for run in runs_of_ids(parts)], leads)

    @property
    def places(self) -> list[int]:
        """The numbers of its fields."""
        return [run for run in self.runs if isinstance(run, int)]

    @property
    def length(self) -> int:
        """Its own tokens, without fields."""
        return sum(len(run) for run in self.runs if isinstance(run, list))

    def filled(self, tokens: Sequence[list[int]]) -> list[int]:
        """Its token ids with those of the fields."""
        ids: list[int] = []
        for run in self.runs:
            ids += tokens[run] if isinstance(run, int) else run
        return ids


class _Form:
    """A skeleton, prepared for filling."""

    def __init__(self, prompt: _Runs, response: _Runs) -> None:
        self.prompt, self.response = prompt, response
        self.places = [*prompt.places, *response.places]
        self.length = prompt.length + response.length
        self.leads = {**prompt.leads, **response.leads}


def _fill(parts: Sequence[SkeletonPart], tokens: dict[Field, list[int]]) -> list[int]:
    ids: list[int] = []
    for part in parts:
        if isinstance(part, Field):
            ids += tokens[part]
        else:
            ids.append(part)
    return ids
