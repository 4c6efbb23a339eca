"""Kaggle's form: prompt, one column an option named by its letter, and the answer's letter."""

from __future__ import annotations

from typing import Any

from llmtuner.data.forms.form import Defect, Draft, Form, identity, letter_range, missing, misspelt, text
from llmtuner.data.problems import shown
from llmtuner.data.question import LETTERS

CONTEXTS = ("context", "wikipedia_excerpt", "hint")
COLUMNS = {
    **dict.fromkeys(("prompt", "answer", *CONTEXTS, *LETTERS), "text"),
    "id": "any",
}


def recognise(columns: tuple[str, ...]) -> bool:
    """Any column named as an option, or a prompt without another form's choices."""
    plain = {column.strip() for column in columns}
    return bool(plain & set(LETTERS)) or ("prompt" in {c.casefold() for c in plain} and "choices" not in plain)


def check(columns: tuple[str, ...]) -> list[str]:
    """Missing and misspelt columns, and gaps in the letters."""
    problems = misspelt(columns, COLUMNS)
    problems += [] if any("'prompt'" in line for line in problems) else missing(columns, ("prompt",))
    given = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter in columns]
    expected = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(given)]
    if "".join(given) != expected and not any("did you mean" in line for line in problems):
        lost = next(letter for letter in expected if letter not in given)
        problems.append(f"options {', '.join(given)}: {lost} is missing between them; letters must follow from A")
    if len(given) > len(LETTERS):
        problems.append(f"{len(given)} option columns; at most {len(LETTERS)} ({letter_range(len(LETTERS))})")
    if len(given) < 2 and not problems:
        problems += missing(columns, tuple("AB"))
    return problems


def read(record: dict[str, Any]) -> Draft:
    """One row; a letter that the record does not have counts as blank."""
    # The columns were checked to follow from A, so the last letter that occurs tells their number.
    last = max((LETTERS.index(name) for name in record if name in LETTERS), default=-1)
    options = [text(record, letter) for letter in LETTERS[: last + 1]]
    answer, notes = _answer(text(record, "answer"), len(options))
    context = next((passage for name in CONTEXTS if (passage := text(record, name))), "")
    return Draft(identity(record), text(record, "prompt"), options, answer, context, notes)


def _answer(written: str, count: int) -> tuple[int | None, tuple[str, ...]]:
    letter = written.strip()
    if not letter:
        return None, ()
    place = LETTERS[:count].find(letter.upper()) if len(letter) == 1 else -1
    if place < 0:
        hint = ""
        words = letter.replace(".", " ").replace(")", " ").replace("(", " ").split()
        alone = [word for word in words if len(word) == 1 and word in LETTERS[:count]]
        if len(words) > 1 and len(alone) == 1:
            hint = f"; write the letter alone: {alone[0]}"
        raise Defect(f"answer {shown(written)} is not one of {letter_range(count)}{hint}")
    return place, () if written == LETTERS[place] else (f"answer {shown(written)} was read as {LETTERS[place]}",)


FORM = Form("kaggle", COLUMNS, recognise, check, read, answer="answer")
