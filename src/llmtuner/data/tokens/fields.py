"""Field-wise tokenisation: a chat template's own tokens around data text that can never become a control token.

`Skeleton` is what a template makes of a composed prompt before it holds any data: token ids, with fields in between.
It is the same for all questions of one shape, so a template is called a few times per run, whatever the number of rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from llmtuner.data.prompt import Field, Part, Turn
from llmtuner.errors import UserError


class Template(Protocol):
    """The part of upstream's chat templates that is used here."""

    efficient_eos: bool

    def encode_oneturn(
        self, tokenizer: Any, messages: list[dict[str, str]], system: str | None = None, tools: str | None = None
    ) -> tuple[list[int], list[int]]:
        """Token ids of the last user turn (with everything before it) and of the answer (with its closing tokens)."""
        ...


SkeletonPart = int | Field


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Token ids with fields in between, for the prompt and for the answer with its closing tokens."""

    prompt: tuple[SkeletonPart, ...]
    response: tuple[SkeletonPart, ...]


def skeleton_to_json(skeleton: Skeleton) -> dict[str, list[Any]]:
    """A skeleton as plain numbers and ["field", index] pairs, with the blanks before the field if it has any."""

    def plain(parts: tuple[SkeletonPart, ...]) -> list[Any]:
        return [
            [part.name, part.index, *([part.lead] if part.lead else [])] if isinstance(part, Field) else part
            for part in parts
        ]

    return {"prompt": plain(skeleton.prompt), "response": plain(skeleton.response)}


def skeleton_from_json(stored: dict[str, list[Any]]) -> Skeleton:
    """The skeleton that `skeleton_to_json` wrote."""

    def parts(plain: list[Any]) -> tuple[SkeletonPart, ...]:
        return tuple(Field(*part) if isinstance(part, list) else int(part) for part in plain)

    return Skeleton(parts(stored["prompt"]), parts(stored["response"]))


def largest_literal(skeletons: Iterable[Skeleton]) -> int:
    """The largest token id of the templates, whatever the question; 0 if there is none."""
    parts = (part for skeleton in skeletons for part in (*skeleton.prompt, *skeleton.response))
    ids = (part for part in parts if isinstance(part, int))
    return max(ids, default=0)


_BLANK = "▁"  # SentencePiece's mark of a space
# Private-use characters: the template sees only these marks, never data, so no data text can imitate one.
_MARK = re.compile("\ue000([0-9]+)\ue001")


class _MarkingTokenizer:
    """The tokenizer as the template sees it: a mark becomes the negative number -(n + 1), text its token ids."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        first = tokenizer.convert_ids_to_tokens(tokenizer.encode("A", add_special_tokens=False)[0])
        # SentencePiece-like tokenizers put a space before every text.
        self._adds_blank = first.startswith(_BLANK)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def lead_of(self, field: Field) -> str:
        """The blanks that must be put before a field's text, so that its tokens begin with the field's own."""
        return field.lead.removeprefix(" ") if self._adds_blank else field.lead

    def encode(self, text: str, add_special_tokens: bool = False, *, plain: bool = False, **_: Any) -> list[int]:
        """Token ids of a text with marks.

        Args:
            plain: the text has no turns: where a literal continues a field's line without a space, none is added.
        """
        pieces = _MARK.split(text)  # literal, number, literal, number, ..., literal
        ids: list[int] = []
        for position, piece in enumerate(pieces):
            if position % 2:
                ids.append(-int(piece) - 1)
                continue
            literal = self._without_joint_blanks(piece, first=position == 0, last=position + 1 == len(pieces))
            if literal:
                encoded = self._tokenizer.encode(literal, add_special_tokens=add_special_tokens)
                continues = plain and self._adds_blank and position > 0 and not piece.startswith(" ")
                # A line break behind "why?" would become a space and a line break.
                alone = continues and self._tokenizer.convert_ids_to_tokens(encoded[0]) == _BLANK
                ids += encoded[1:] if alone else encoded
        return ids

    def _without_joint_blanks(self, literal: str, *, first: bool, last: bool) -> str:
        """A literal without the spaces next to fields: the tokenizer adds them, so they would be doubled."""
        if self._adds_blank and not last:
            literal = literal.removesuffix(" ")
        if self._adds_blank and not first:
            literal = literal.removeprefix(" ")
        return literal


TurnPart = int | tuple[int, Field]  # a token id, or a field and the number of its turn


def build_skeleton(
    tokenizer: Any, template: Template | None, user: Sequence[Part], answer: Sequence[Part], system: str | None = None
) -> Skeleton:
    """Let the template encode a turn whose fields are marks.

    Args:
        user, answer: the composed turns; an empty `answer` gives only the closing tokens.

    Raises:
        ValueError: the template repeats or loses a field, so the skeleton cannot be filled.
        UserError: there is no template, and the required form was not stored with the model.
    """
    prompt, response = build_turns(tokenizer, template, [(tuple(user), tuple(answer))], system)
    return Skeleton(without_turns(prompt), without_turns(response))


def without_turns(parts: Iterable[TurnPart]) -> tuple[SkeletonPart, ...]:
    """The parts, their fields without the numbers of their turns."""
    return tuple(part if isinstance(part, int) else part[1] for part in parts)


def build_turns(
    tokenizer: Any, template: Template | None, turns: Sequence[Turn], system: str | None = None
) -> tuple[list[TurnPart], list[TurnPart]]:
    """The same for several turns: everything before the last answer, and that answer with its closing tokens.

    Raises:
        ValueError, UserError: as in `build_skeleton`.
    """
    if template is None:
        raise UserError(
            "the model was stored without this form of prompt; pass the `template` that it was trained with"
        )
    marking = _MarkingTokenizer(tokenizer)
    if system:
        _require_system(marking, template, system)
    fields: list[tuple[int, Field]] = []

    def marked(number: int, parts: Sequence[Part]) -> str:
        texts = []
        for part in parts:
            if isinstance(part, Field):
                texts.append(f"\ue000{len(fields)}\ue001")
                fields.append((number, replace(part, lead=marking.lead_of(part))))
            else:
                texts.append(part)
        return "".join(texts)

    messages = []
    for number, (user, answer) in enumerate(turns):
        messages.append({"role": "user", "content": marked(number, user)})
        messages.append({"role": "assistant", "content": marked(number, answer)})
    prompt_ids, response_ids = template.encode_oneturn(marking, messages, system)
    if template.efficient_eos:  # such templates leave the end token to their caller
        response_ids = [*response_ids, tokenizer.eos_token_id]
    if sorted(-i - 1 for i in (*prompt_ids, *response_ids) if i < 0) != list(range(len(fields))):
        raise ValueError(f"the chat template {type(template).__name__} does not keep the prompt's fields in place")

    def with_fields(ids: list[int]) -> list[TurnPart]:
        return [i if i >= 0 else fields[-i - 1] for i in ids]

    return with_fields(prompt_ids), with_fields(response_ids)


def _require_system(tokenizer: Any, template: Template, system: str) -> None:
    """Refuse a system text that a template drops, or has no turn for.

    Raises:
        UserError: with the fix.
    """
    from jinja2.exceptions import TemplateError

    messages = [{"role": "user", "content": "A"}, {"role": "assistant", "content": "A"}]
    try:
        first, second = (template.encode_oneturn(tokenizer, messages, text) for text in (system, f"{system} A"))
        is_held, reason = first != second, ""
    except TemplateError as error:  # such as Gemma's: "System role not supported"
        is_held, reason = False, f" ({error})"
    if not is_held:
        raise UserError(
            f"`prompt`: this chat template has no place for a system text{reason}; remove `system` from the file, or "
            "write it into the question's text"
        )


def cut_to_fit(
    context: list[int], asked: list[int], length_of_rest: Callable[[bool], int], limit: int
) -> tuple[list[int], list[int], int, int]:
    """Shorten a question to a limit: cut the end of its context first, then, if needed, the start of the question.

    Args:
        context, asked: token ids of the context and of the question text.
        length_of_rest: tokens of everything else, with and without a context; they are never cut.

    Returns:
        (context, asked, tokens cut from the context, tokens over the limit even without a context)
    """
    cut = over = 0
    excess = len(context) + len(asked) + length_of_rest(bool(context)) - limit
    if excess > 0 and context:
        cut = min(excess, len(context))
        context = context[: len(context) - cut]
        excess = len(context) + len(asked) + length_of_rest(bool(context)) - limit
    if excess > 0:
        over = excess
        asked = asked[over:]
    return context, asked, cut, over


# Where transformers defines what it does around the Rust tokenizer, unless a class of its own changes that.
_PLAIN = {
    "__call__": "transformers.tokenization_utils_base",
    "_encode_plus": "transformers.tokenization_utils_tokenizers",
}


def encode_fields(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text on its own; special tokens in it are encoded as plain text.

    Equal texts share one list, which must not be changed.
    """
    filled = [text for text in dict.fromkeys(texts) if text]
    if not filled:
        return [[] for _ in texts]
    ids = dict(zip(filled, _encode_texts(tokenizer, filled), strict=True))
    return [ids[text] if text else [] for text in texts]


def _encode_texts(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    if any(getattr(getattr(type(tokenizer), name, None), "__module__", "") != where for name, where in _PLAIN.items()):
        batch: list[list[int]] = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return batch
    # The same ids; offsets, masks and a BatchEncoding of them would take as long again.
    rust = tokenizer.backend_tokenizer
    rust.encode_special_tokens = True  # as plain text
    rust.no_truncation()
    rust.no_padding()
    return [encoding.ids for encoding in rust.encode_batch_fast(texts, add_special_tokens=False)]


def runs_of_ids(parts: Iterable[SkeletonPart]) -> list[list[int] | Field]:
    """A skeleton's part with successive token ids as one list, so that filling it takes few steps."""
    runs: list[list[int] | Field] = []
    for part in parts:
        if isinstance(part, Field):
            runs.append(part)
        elif runs and isinstance(runs[-1], list):
            runs[-1].append(part)
        else:
            runs.append([part])
    return runs
