"""What the answers of a file mean: letters, labels, numbers counted from 0 or 1, or the right option's text.

All answers of a file are written in one style. A form knows its own; where its answers cannot be read so, the file's
style is the one in which all of them can be read. An answer that means different options in two styles is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from llmtuner.data.forms.answer_advice import advice, name_of
from llmtuner.data.forms.row import Draft
from llmtuner.data.problems import Problem, line_list, quoted
from llmtuner.data.question import LETTERS

Style = Literal["letter", "0", "1", "text"]
Base = Literal["auto", "letter", "0", "1", "text"]  # of --mcq_answer_base; "auto": the form's own styles
BASES: tuple[Base, ...] = ("auto", "0", "1", "letter", "text")
ANY: tuple[Style, ...] = ("0", "letter", "text")
LETTER: tuple[Style, ...] = ("letter", "text")
TEXT: tuple[Style, ...] = ("text", "letter")
NUMBER: tuple[Style, ...] = ("0", "letter", "text")
_SPACES = 4  # around an option, which is compared without them
_NUMBER = re.compile(r"-?\d{1,9}(?:\.0+)?", re.ASCII)


@dataclass(slots=True)
class Settled:
    """What came of a file's answers.

    Args:
        errors: answers that cannot be read.
        base: says that answers seem to be counted from 1: an error in training, a warning in prediction.
        warnings: how the answers were read, where that is not as usual, and answers that could mean another option.
    """

    errors: list[Problem] = field(default_factory=list)
    base: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def is_missing(written: object) -> bool:
    """Whether a row has no answer: null, blank, NaN, or the -1 of public test files."""
    if isinstance(written, str):
        return written.strip() in ("", "-1")
    if isinstance(written, float) and written != written:  # pandas writes NaN for a missing number
        return True
    return written is None or (not isinstance(written, bool) and written == -1)


def number_of(written: object) -> int | None:
    """A whole number, also as text or with a zero after the point (pandas turns 1 into 1.0)."""
    if isinstance(written, bool):
        return None
    if isinstance(written, int):
        return written
    if isinstance(written, float):
        return int(written) if written.is_integer() else None
    if isinstance(written, str) and _NUMBER.fullmatch(written.strip()):
        return int(float(written))
    return None


def _by_letter(written: object, draft: Draft) -> int | None:
    if draft.labels is not None and isinstance(written, int) and not isinstance(written, bool):
        written = str(written)  # numbers may be labels
    if not isinstance(written, str):
        return None
    if len(written) == 1 and draft.labels is None and (place := LETTERS.find(written)) in range(len(draft.options)):
        return place
    text = written.strip()
    if draft.labels is not None:
        return draft.labels.index(text) if draft.labels.count(text) == 1 else None
    # ASCII only: some letters outside ASCII have A to J as their upper case.
    index = LETTERS[: len(draft.options)].find(text.upper()) if len(text) == 1 and text.isascii() else -1
    return index if index >= 0 else None


def _from(base: int) -> Callable[[object, Draft], int | None]:
    def read(written: object, draft: Draft) -> int | None:
        number = number_of(written)
        return None if number is None or not 0 <= number - base < len(draft.options) else number - base

    return read


def _by_text(written: object, draft: Draft) -> int | None:
    if not isinstance(written, str):
        return None
    text = " ".join(written.split())
    places = [place for place, option in enumerate(draft.options) if " ".join(option.split()) == text]
    return places[0] if len(places) == 1 else None


READ: dict[Style, Callable[[object, Draft], int | None]] = {
    "letter": _by_letter,
    "0": _from(0),
    "1": _from(1),
    "text": _by_text,
}


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one file.

    Args:
        file: its path in messages.
        unit: of line numbers, "line" or "row".
        column: the column of the answers, in messages.
        styles: the styles that its form allows, the documented one first.
        documented: whether the form says how answers are counted.
        base: the user's choice, a value of `BASES`.
    """

    file: str
    unit: str
    column: str
    styles: tuple[Style, ...]
    documented: bool
    base: Base = "auto"

    def settle(self, rows: Sequence[tuple[int, Draft]]) -> Settled:
        """Set the answer of each row, given with its line.

        Rows whose answer their form has read already, and rows without an answer, stay as they are.
        """
        rows = [(line, draft) for line, draft in rows if draft.answer is None and not is_missing(draft.written)]
        styles: tuple[Style, ...] = self.styles if self.base == "auto" else (self.base,)
        if self.base == "auto" and all(draft.labels is not None for _, draft in rows):
            styles = ("letter", *styles)  # the file's own labels come first: "1" is the option labelled 1
        style, places = _first_that_fits(styles, rows, self.styles[0] if self.base == "auto" else self.base)
        settled = Settled()
        if style == "0" and self.base == "auto" and not self.documented:
            problem, readable = self._counted_from_one(rows)
            if problem is not None and not readable:
                settled.errors.append(problem)
                return settled
            settled.base = [] if problem is None else [problem]
        for (line, draft), place in zip(rows, places, strict=True):
            if place is None:
                settled.errors.append(self._unreadable(line, draft, style))
                continue
            draft.answer = place
            if style == "letter" and isinstance(draft.written, str) and draft.labels is None:
                draft.loose = "" if draft.written == LETTERS[place] else draft.written  # at most ten have letters
        if self.base == "auto":
            if style == "text" and styles[0] != "text" and rows:
                notice = f"the {self.column}s are read as the texts of the options"
                settled.warnings.append(Problem(self.file, rows[0][0], notice, kind="style"))
            self._name_ambiguous(rows, style, settled)
        return settled

    def _counted_from_one(self, rows: Sequence[tuple[int, Draft]]) -> tuple[Problem | None, bool]:
        """That no answer is 0 and all could be counted from 1, and whether they can be read as counted from 0."""
        numbers = [number_of(draft.written) for _, draft in rows]
        if not rows or 0 in numbers or not _all_in("1", rows):
            return None, True
        beyond = not _all_in("0", rows)
        defect = f"no {self.column} is 0, so the first option is never right"
        if beyond:
            defect += ", and some are the number of the options: they seem to be counted from 1"
        fix = "say where they begin: --mcq_answer_base 1, or 0"
        return Problem(self.file, rows[0][0], defect, fix=fix, kind="base"), not beyond

    def _unreadable(self, line: int, draft: Draft, style: Style) -> Problem:
        what, expected, fix = advice(draft, style, self.column, READ)
        return Problem(self.file, line, what, expected, fix, kind="answer")

    def _name_ambiguous(self, rows: Sequence[tuple[int, Draft]], style: Style, settled: Settled) -> None:
        """Answers that mean another option in another style: "A" is option A, or the text of option B.

        They are errors where the file mixes styles, one warning otherwise.
        """
        other: Style = "letter" if style == "text" else "text"
        ambiguous: list[tuple[int, str]] = []
        for line, draft in rows:
            if not isinstance(draft.written, str) or (other == "text" and not _is_an_option(draft.written, draft)):
                continue
            place = READ[other](draft.written, draft)
            if place is None or draft.answer is None or place == draft.answer:
                continue
            text, letter = (draft.answer, place) if style == "text" else (place, draft.answer)
            meaning = f"may mean option {name_of(letter)} or be the text of option {name_of(text)}"
            ambiguous.append((line, f"{self.column} {quoted(draft.written)} {meaning}"))
        if not ambiguous:
            return
        fix = f"say which: --mcq_answer_base {'letter' if style == 'text' else style}, or text"
        if settled.errors:
            settled.errors += [Problem(self.file, *each, fix=fix, kind="ambiguous answer") for each in ambiguous]
            return
        line, defect = ambiguous[0]
        read = {"text": "a text", "letter": "a letter"}.get(style, "a number")
        defect += f"; it is read as {read}"
        if len(ambiguous) > 1:
            defect += f"; such answers are in {line_list([line for line, _ in ambiguous], self.unit)}"
        settled.warnings.append(Problem(self.file, line, defect, fix=fix, kind="ambiguous answer"))


def _is_an_option(written: str, draft: Draft) -> bool:
    """Whether an option may be the answer's text. It costs less than comparing without regard to white space."""
    text = written.strip()
    shortest = min(map(len, draft.options), default=0)
    return shortest <= len(written) + _SPACES and any(option.strip() == text for option in draft.options)


def _first_that_fits(
    styles: Sequence[Style], rows: Sequence[tuple[int, Draft]], otherwise: Style
) -> tuple[Style, list[int | None]]:
    """The first style in which all answers can be read, or `otherwise`, and what the answers are in it."""
    for style in (*styles, otherwise):
        read = READ[style]
        places = [read(draft.written, draft) for _, draft in rows]
        if None not in places:
            return style, places
    return otherwise, places


def _all_in(style: Style, rows: Sequence[tuple[int, Draft]]) -> bool:
    read = READ[style]
    return all(read(draft.written, draft) is not None for _, draft in rows)
