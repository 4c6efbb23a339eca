"""Whether a tokenizer can read the questions: tokens that stand for "unknown", and text that decoding does not return.

A tokenizer that was saved or loaded under the wrong class still gives tokens, and a training on them still converges.
Seen with a real model: each space became the unknown token, half of all tokens were unknown, and MAP@3 fell to chance.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llmtuner.data.question import Question
from llmtuner.data.tokens.fields import encode_fields
from llmtuner.errors import DataError

SAMPLE = 200  # questions that are checked, from the start of a set
REFUSED, WARNED = 0.05, 0.005  # shares
EXAMPLES = 3
_WINDOW = 4  # words around the first unread one, in an example
_SHOWN = 80  # characters of an example


@dataclass(frozen=True, slots=True)
class Reading:
    """How a tokenizer reads one text.

    Args:
        where: file, line and id of the question.
        text: the text.
        tokens, unknown: the number of its tokens, and of those that are unknown.
        characters, lost: the number of its letters and digits in any script, and of those that decoding loses.
        lost_ascii: the same for a-z, A-Z and 0-9 alone.
    """

    where: str
    text: str
    tokens: int
    unknown: int
    characters: int
    lost: int
    lost_ascii: int

    @property
    def blind(self) -> bool:
        """Whether the model sees nothing of the text but unknown tokens."""
        return 0 < self.tokens == self.unknown

    @property
    def harm(self) -> tuple[int, int, int]:
        """What is not read; the text with the largest numbers is the worst."""
        return self.lost_ascii, self.unknown, self.lost


@dataclass(frozen=True, slots=True)
class Coverage:
    """How a tokenizer reads several texts of one kind."""

    kind: str
    readings: tuple[Reading, ...]

    @property
    def unknown(self) -> float:
        """The share of unknown tokens."""
        tokens = sum(reading.tokens for reading in self.readings)
        return sum(reading.unknown for reading in self.readings) / max(tokens, 1)

    @property
    def lost(self) -> float:
        """The share of letters and digits that decoding loses."""
        characters = sum(reading.characters for reading in self.readings)
        return sum(reading.lost for reading in self.readings) / max(characters, 1)

    @property
    def lost_ascii(self) -> int:
        """The number of texts that lose an ASCII letter or digit."""
        return sum(reading.lost_ascii > 0 for reading in self.readings)

    @property
    def blind(self) -> int:
        """The number of texts of which the model sees only unknown tokens."""
        return sum(reading.blind for reading in self.readings)

    @property
    def refused(self) -> bool:
        """Whether the scores would be noise."""
        return max(self.unknown, self.lost) > REFUSED or self.lost_ascii > 0

    @property
    def warned(self) -> bool:
        """Whether the user should know."""
        return self.refused or max(self.unknown, self.lost) > WARNED or self.blind > 0

    def __str__(self) -> str:
        parts = (
            (self.unknown, f"{_percent(self.unknown)} of the tokens are unknown"),
            (self.lost, f"decoding loses {_percent(self.lost)} of the letters and digits"),
            (self.lost_ascii, f"{self.lost_ascii} of {len(self.readings)} texts lose letters a-z or digits"),
            (self.blind, f"{self.blind} texts consist of unknown tokens only"),
        )
        return f"{self.kind}: {', '.join(part for share, part in parts if share)}"


def check_tokenizer(tokenizer: Any, questions: Sequence[Question], *, allow: bool = False) -> list[str]:
    """Compare the first questions, and each of their options, with what the tokenizer makes of them.

    White space, case, accents and compatibility forms (NFKC) are set aside: BERT drops them on purpose.

    Args:
        questions: of one set; the first `SAMPLE` are read.
        allow: only warn where the tokenizer would be refused.

    Returns:
        lines of a warning; [] if the tokenizer reads the questions

    Raises:
        DataError: more than 5 % of the tokens are unknown, or decoding loses 5 % of the letters or any ASCII one.
    """
    sample = questions[:SAMPLE]
    parts = [
        measure(
            tokenizer, "questions", [(_place(q), text) for q in sample for text in (q.context, q.question) if text]
        ),
        measure(tokenizer, "options", [(_place(q), option) for q in sample for option in q.options if option.strip()]),
    ]
    problems = [part for part in parts if part.warned]
    if not problems:
        return []
    harmed = {reading.text: reading for part in problems for reading in part.readings if any(reading.harm)}
    worst = sorted(harmed.values(), key=lambda each: each.harm, reverse=True)[:EXAMPLES]
    lines = [
        f"the tokenizer does not read all of the questions (the first {len(sample)} were checked): "
        + "; ".join(map(str, problems)),
        *(f"  {_example(tokenizer, reading)}" for reading in worst),
    ]
    if allow or not any(part.refused for part in problems):
        return lines
    lines.append(
        "so the model would not see what is asked. Either the tokenizer was saved or loaded under the wrong class "
        "(tokenizer_class in tokenizer_config.json): copy its files again from the original model. Or the text has "
        "characters that this model does not know: use another model, or pass `allow_unknown_tokens`"
    )
    raise DataError("\n".join(lines))


def measure(tokenizer: Any, kind: str, texts: Iterable[tuple[str, str]]) -> Coverage:
    """How a tokenizer reads texts.

    Args:
        kind: what the texts are.
        texts: pairs of a place and a text.
    """
    pairs = [(where, text) for where, text in texts if text.strip()]
    ids = encode_fields(tokenizer, [text for _, text in pairs])
    decoded = tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) if ids else []
    unknown = unknown_ids(tokenizer)
    return Coverage(
        kind,
        tuple(
            _reading(where, text, tokens, again, unknown)
            for (where, text), tokens, again in zip(pairs, ids, decoded, strict=True)
        ),
    )


def unknown_ids(tokenizer: Any) -> frozenset[int]:
    """Tokens that plain text must not give: the unknown token, and every special token."""
    own = () if tokenizer.unk_token_id is None else (tokenizer.unk_token_id,)
    return frozenset((*own, *tokenizer.all_special_ids))


def _reading(where: str, text: str, tokens: list[int], decoded: str, unknown: frozenset[int]) -> Reading:
    read = Counter(_letters(decoded))
    wanted = Counter(_letters(text))
    # Only letters that are ASCII in the text itself: a "25" that is lost with its degree sign, not the e of a lost é.
    plain = Counter(character for character in text.lower() if character.isascii() and character.isalnum())
    return Reading(
        where,
        text,
        len(tokens),
        sum(token in unknown for token in tokens),
        wanted.total(),
        (wanted - read).total(),
        (plain - read).total(),
    )


def _letters(text: str) -> str:
    """The letters and digits of a text, without case, accents and compatibility forms."""
    if text.isascii():
        return "".join(filter(str.isalnum, text.lower()))
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(filter(str.isalnum, plain))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else "below 0.1 %"


def _place(question: Question) -> str:
    return f"{question.where}: id {question.id!r}" if question.file else f"id {question.id!r}"


def _example(tokenizer: Any, reading: Reading) -> str:
    """The part of a text around the first word that is not read, and how it is read."""
    words = re.findall(r"\s*\S+", reading.text)
    unread = (i for i, each in enumerate(measure(tokenizer, "", [("", w) for w in words]).readings) if any(each.harm))
    first = max(0, next(unread, 0) - _WINDOW)
    shown = "".join(words[first : first + 2 * _WINDOW]).strip()[:_SHOWN]
    decoded = tokenizer.decode(encode_fields(tokenizer, [shown])[0], clean_up_tokenization_spaces=False)
    return f"{reading.where}: {shown!r} is read as {decoded[: 3 * _SHOWN]!r}"
