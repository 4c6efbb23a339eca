"""What is wrong with an answer that cannot be read, and what to write instead."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from llmtuner.data.forms.row import Draft
from llmtuner.data.problems import quoted
from llmtuner.data.question import LETTERS

# Letters of other alphabets that look like A to J.
_LOOK_ALIKES = dict(zip("АВСЕНаеΑΒΕΗ", "ABCEHAEABEH", strict=True))
_SEVERAL = re.compile(r"\s*(?:[,;/&+、，；]|\band\b|\bor\b|\s)\s*", re.IGNORECASE)
_ONE_ANSWER = "one answer only: a question with several right options cannot be ranked; remove it"
_OF_AN_EXAM = re.compile(
    r"\s*(?:(?:answer|option|choice)\b\s*(?:is\b)?\s*:?\s*)?[(\[]?\s*([A-Ja-j])\s*(?:[)\].:]|$)", re.IGNORECASE
)

Read = Mapping[Any, Callable[[object, Draft], int | None]]


def advice(draft: Draft, style: str, column: str, read: Read) -> tuple[str, str, str]:
    """What is wrong with an answer in its file's style.

    Args:
        read: the reader of each style.

    Returns:
        (the defect, what was expected or "", the fix or "")
    """
    written, count = draft.written, len(draft.options)
    if style in ("0", "1"):
        return _number_advice(draft, int(style), column)
    if style == "text":
        return f"{column} {quoted(written)} is not the text of one option", "", _letter_fix(draft, read)
    if isinstance(written, list) and len(written) > 1:
        return f"{column} {quoted(written)} has several items", "", _list_fix(written, count)
    if not isinstance(written, str):
        kind = type(written).__name__
        fix = "write the option's letter, or say where numbers begin: --mcq_answer_base 0, or 1"
        return f"column {column} must be text, found {kind} {quoted(written)}", "", fix
    if draft.labels is not None:
        labels = ", ".join(map(quoted, draft.labels))
        if draft.labels.count(written.strip()) > 1:
            return f"{column} {quoted(written)} is the label of several options: {labels}", "", "label each option once"
        return f"{column} {quoted(written)} is not one of the labels {labels}", "", _label_fix(draft, read)
    letters = f"A-{LETTERS[min(count, len(LETTERS)) - 1]}" if count else "the letters"
    return f"{column} {quoted(written)} is not one of {letters}", "", _letter_fix(draft, read)


def name_of(place: int) -> str:
    """The letter of an option, or its number where letters end."""
    return LETTERS[place] if place < len(LETTERS) else str(place + 1)


def _list_fix(items: list[object], count: int) -> str:
    """The advice for several answers, or for a mark of each option."""
    marked = len(items) == count and items.count(1) == 1 and items.count(0) == count - 1
    place = items.index(1) if marked else 0
    return (
        f"if it marks the right option with 1, write that option's number, counted from 0: {place}"
        if marked
        else _ONE_ANSWER
    )


def _label_fix(draft: Draft, read: Read) -> str:
    """The advice for an answer that should be a label: the label of the option that it seems to mean."""
    written, labels = str(draft.written).strip(), draft.labels or ()
    place = read["text"](draft.written, draft)
    if place is not None and labels.count(labels[place]) == 1:
        return f"it is the text of an option: write its label: {quoted(labels[place])}"
    place = LETTERS[: len(labels)].find(written) if len(written) == 1 else -1
    if place >= 0 and labels.count(labels[place]) == 1:
        return f"if it means option {written}, write that option's label: {quoted(labels[place])}"
    return "write the label of the right option"


def _number_advice(draft: Draft, base: int, column: str) -> tuple[str, str, str]:
    written, count = draft.written, len(draft.options)
    if isinstance(written, list) and len(written) > 1:
        return f"{column} {quoted(written)} has several items", "", _list_fix(written, count)
    if isinstance(written, bool) or not isinstance(written, int | float | str) or _no_number(written):
        fix = f"write it without the list: {quoted(written[0])}" if isinstance(written, list) and written else ""
        return f"column {column} must be a whole number counted from {base}, found {quoted(written)}", "", fix
    defect = f"{column} {quoted(written)} is outside the {count} option{'s' * (count > 1)}"
    seems = float(written) == count and base == 0
    fix = "count from 0, not from 1, or say that it is so: --mcq_answer_base 1" if seems else ""
    return defect, f"expected {base} to {count - 1 + base}", fix


def _no_number(written: object) -> bool:
    return not re.fullmatch(r"-?\d{1,9}(?:\.0+)?", str(written).strip(), re.ASCII)


def _letter_fix(draft: Draft, read: Read) -> str:
    """The advice for an answer that should be a letter. A text is compared with the options' texts first."""
    if not isinstance(draft.written, str):
        return ""
    written = draft.written.strip()
    letters = LETTERS[: len(draft.options)]
    place = read["text"](written, draft)
    if place is not None:
        return f"it is the text of option {name_of(place)}: write only the letter: {name_of(place)}"
    if len(written) == 1 and written in _LOOK_ALIKES:
        name, letter = unicodedata.name(written).title(), _LOOK_ALIKES[written]
        return f"it is the {name} (U+{ord(written):04X}), which looks like {letter}; write the Latin letter: {letter}"
    plain = unicodedata.normalize("NFKC", written).strip()  # full-width and circled letters
    plain_letters = re.sub(r"[()\[\].]", "", plain)
    several = [part for part in _SEVERAL.split(plain_letters) if part]
    if len(several) > 1 and all(len(part) == 1 and part.upper() in letters for part in several):
        return _ONE_ANSWER
    if 1 < len(plain_letters) == len(set(plain_letters)) and set(plain_letters) <= set(letters):
        return _ONE_ANSWER
    match = _OF_AN_EXAM.match(plain)
    if match and match[1].upper() in letters:
        rest, letter = plain[match.end() :].strip(), match[1].upper()
        if not rest or read["text"](rest, draft) == letters.index(letter):
            return f"write only the letter: {letter}"
    if _no_number(plain):
        return "write the option's letter" if len(plain) > 1 else ""
    return "write the option's letter, not its number, or say where numbers begin: --mcq_answer_base 0, or 1"
