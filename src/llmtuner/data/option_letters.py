"""Letters that options carry in their own texts, as in a printed exam: "A) mitosis", "(b) meiosis", "C. both".

Options are compared without them, because equal options and repeated questions hide behind them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from llmtuner.data.normal_form import normal_form, visible_text
from llmtuner.data.question import LETTERS

# Letters in circles or squares; their normal form is the bare letter. 🅰 and 🅱 are missing: they name blood groups.
_FRAMED = {
    chr(start + place): f"({letter}) "
    for start in (0x24B6, 0x24D0, 0x1F130, 0x1F150)
    for place, letter in enumerate(LETTERS)
}
# In ASCII, every beginning that `_MARK` takes for a letter, and more.
_MAY_BEGIN = re.compile(r"^\s?[(\[]?\s?[A-J]\s?\.?[)\].:]", re.IGNORECASE | re.MULTILINE)
# Neither (D)-glucose nor the rates [A]² and [A][B] begin with a letter of the option.
_MARK = re.compile(
    r"(?:\(\s?(?P<round>[A-J])\s?\)(?![*/^=²³⁺⁻<>→(,;]|[-+](?![\d.]))"
    r"|[\[【]\s?(?P<square>[A-J])\s?[\]】](?=\s)"
    r"|(?P<closed>[A-J])\.?[)\]]"
    r"|(?P<pointed>[A-J])[.:、]"
    r")[.:]?\s*(?P<text>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_INITIAL = re.compile(r"[^\W\d_]\.")
# The letter refers to another option: "(A) and (B)", "(A) only", "(A) is true".
_REFERS = re.compile(
    r"(?:(?:is|are)\s+)?(?:only|alone|correct|true|right|false|wrong|incorrect)(?:\s+(?:only|alone))?[.!]?$"
    r"|(?:and|or|nor|but|not|[&,;/+])\s*(?:not\s+)?[(\[]?[A-J][)\]]?(?!\w)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A letter at the beginning of an option.

    Args:
        bracketed: whether it is closed by a bracket. A letter with a full stop also begins names (E. coli).
        initial: whether an initial follows (A. A. Milne), which speaks for a name.
        text: the option behind the letter.
    """

    letter: str
    bracketed: bool
    initial: bool
    text: str


def has_letters(options: Sequence[str]) -> bool:
    """Whether options begin with a letter as in an exam: "A) mitosis", "(b) meiosis", "C. both".

    A letter with a full stop also begins names (E. coli), so most options must begin with their own letters.
    """
    _, marks = _forms_and_marks(tuple(options))
    return _bracketed(marks) or _own(marks)


def compared_forms(options: Sequence[str]) -> tuple[str, ...]:
    """The options' normal forms without letters of their own. Options are equal if these are.

    Letters stay if one of them stands before two options, or refers to something ("(A) and (B)", "(B) only"): they are
    part of what the options say.
    """
    forms, marks = _forms_and_marks(tuple(options))
    if not marks:
        return forms
    bracketed = _bracketed(marks)
    if not bracketed and not _own(marks):
        return forms
    removed = {
        place: mark
        for place, mark in enumerate(marks)
        if mark and (mark.bracketed if bracketed else mark.letter == LETTERS[place])
    }
    letters = {mark.letter for mark in removed.values()}
    if len(letters) < len(removed) or any(_REFERS.match(mark.text) for mark in removed.values()):
        return forms
    return tuple(removed[place].text if place in removed else form for place, form in enumerate(forms))


@lru_cache(maxsize=8)  # several checks of a question, one after the other
def _forms_and_marks(options: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[_Mark | None, ...]]:
    """The options' normal forms and their marks; no marks for plain options."""
    if _is_plain(options):
        return options, ()
    forms = tuple(map(normal_form, options))
    return forms, tuple(map(_mark, options, forms))


def _mark(option: str, form: str) -> _Mark | None:
    if not option.isascii():
        visible = visible_text(option).lstrip()
        if visible[:1] in _FRAMED:
            form = normal_form(_FRAMED[visible[:1]] + visible[1:])
    match = _MARK.match(form)
    if match is None:
        return None
    letter, pointed, text = next(filter(None, match.groups())), match["pointed"] is not None, match["text"]
    return _Mark(letter.upper(), not pointed, pointed and _INITIAL.match(text) is not None, text)


def surely_different(options: Sequence[str]) -> bool:
    """Whether all options differ and none is blank; False if a closer look at `compared_forms` is needed.

    True for most questions, in a fraction of the time: it counts when a large file is read.
    """
    return len(set(options)) == len(options) and _is_plain(options)


def _is_plain(options: Sequence[str]) -> bool:
    """Whether options are their own normal forms, and are not blank and have no letters: True for most questions."""
    joined = " ".join(("", *options, ""))
    if not joined.isascii() or "  " in joined or not joined.isprintable():
        return False
    if not (")" in joined or "." in joined or ":" in joined or "]" in joined):
        return True
    return _MAY_BEGIN.search("\n".join([text[:6] for text in options])) is None


def _bracketed(marks: Sequence[_Mark | None]) -> bool:
    return len({mark.letter for mark in marks if mark and mark.bracketed}) >= 2


def _own(marks: Sequence[_Mark | None]) -> bool:
    """Whether most options begin with the letters of their own places."""
    own = [mark for letter, mark in zip(LETTERS, marks, strict=False) if mark and mark.letter == letter]
    certain = sum(not mark.initial for mark in own)
    return (certain >= 2 and certain * 2 > len(marks)) or len(own) == len(marks) > 2
