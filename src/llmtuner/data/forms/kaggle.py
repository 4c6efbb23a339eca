"""Kaggle's form: prompt, one column an option named by its letter, and the answer's letter."""

from __future__ import annotations

import string
from functools import lru_cache

from llmtuner.data.forms.form import Defect, Draft, Form, Row
from llmtuner.data.problems import shown
from llmtuner.data.question import LETTERS

CONTEXTS = ("context", "wikipedia_excerpt", "hint")
COLUMNS = {
    **dict.fromkeys(("prompt", "answer", *CONTEXTS, *LETTERS), "text"),
    "id": "text or whole number",
}


def check(columns: tuple[str, ...]) -> list[Defect]:
    """Gaps in the letters, and too many of them."""
    given = [letter for letter in LETTERS if letter in columns]
    expected = LETTERS[: len(given)]
    if "".join(given) != expected:
        lost = next(letter for letter in expected if letter not in given)
        what = f"options {', '.join(given)}: {lost} is missing between them"
        fix = f"add column {lost}, or rename the others"
        return [Defect("columns", what, "letters must follow from A", fix)]
    more = string.ascii_uppercase[len(LETTERS)]
    if len(given) == len(LETTERS) and more in columns:
        what = f"option column {more}: more than {len(LETTERS)} options"
        return [Defect("columns", what, f"at most {len(LETTERS)} ({letter_range(len(LETTERS))})")]
    return []


def read(row: Row) -> Draft:
    """One row; a letter that the record does not have counts as blank, as it would in a table."""
    letters, contexts = _used(row.columns)
    options = [row.text(letter) for letter in letters]
    answer, loose = _answer(row, len(options))
    passages = {name: passage for name in contexts if (passage := row.text(name)).strip()}
    context = next(iter(passages.values()), "")
    return Draft(row.identity(), row.text("prompt"), options, answer, context, loose, tuple(passages)[1:])


@lru_cache(maxsize=32)
def _used(columns: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Option and context columns of a file; once a file, since a file has many rows."""
    return tuple(c for c in LETTERS if c in columns), tuple(c for c in CONTEXTS if c in columns)


def letter_range(count: int) -> str:
    """ "A-E" for five."""
    return f"A-{LETTERS[count - 1]}"


def _answer(row: Row, count: int) -> tuple[int | None, str]:
    written = row.text("answer")
    letter = written.strip()
    if not letter:
        return None, ""
    # ASCII only: the upper case of a few other letters is A to J, too.
    place = LETTERS[:count].find(letter.upper()) if len(letter) == 1 and letter.isascii() else -1
    if place < 0:
        what = f"answer {shown(written)} is not one of {letter_range(count)}"
        row.defects.append(Defect("answer", what, fix=_fix(letter, count)))
        return None, ""
    return place, "" if written == LETTERS[place] else written


def _fix(answer: str, count: int) -> str:
    words = answer.replace(".", " ").replace(")", " ").replace("(", " ").split()
    alone = [word for word in words if len(word) == 1 and word in LETTERS[:count]]
    if len(words) > 1 and len(alone) == 1:
        return f"write the letter alone: {alone[0]}"
    return "write the option's letter, not its number or text" if len(answer) > 1 or answer.isdigit() else ""


SHAPE = "prompt, A, B, ... (2 to 10 options), answer (a letter), optional id and context"
FORM = Form("kaggle", SHAPE, COLUMNS, ("prompt", "A", "B"), "answer", check, read)
