"""Kaggle's form: prompt, one column for each option with its letter as name, and the answer's letter."""

from __future__ import annotations

import string
from functools import lru_cache

from llmtuner.data.forms.form import Defect, Draft, Form, RowReader
from llmtuner.data.problems import quoted
from llmtuner.data.question import LETTERS

CONTEXTS = ("context", "wikipedia_excerpt", "hint")
COLUMNS = {
    **dict.fromkeys(("prompt", "answer", *CONTEXTS, *LETTERS), "text"),
    "id": "text or whole number",
}


def check(columns: tuple[str, ...]) -> list[Defect]:
    """Defects of the option columns: a gap in the letters, or too many of them."""
    letters = [letter for letter in LETTERS if letter in columns]
    expected = LETTERS[: len(letters)]
    if "".join(letters) != expected:
        gap = next(letter for letter in expected if letter not in letters)
        defect = f"options {', '.join(letters)}: {gap} is missing between them"
        fix = f"add column {gap}, or rename the columns after it"
        return [Defect("columns", defect, "expected letters from A without a gap", fix)]
    next_letter = string.ascii_uppercase[len(LETTERS)]
    if len(letters) == len(LETTERS) and next_letter in columns:
        defect = f"option column {next_letter}: more than {len(LETTERS)} options"
        return [Defect("columns", defect, f"expected at most {len(LETTERS)} ({letter_range(len(LETTERS))})")]
    return []


def read(row: RowReader) -> Draft:
    """A row as a draft. An option that a JSON record lacks is blank, as it would be in a table."""
    letters, contexts = _option_and_context_columns(row.columns)
    options = [row.text(letter) for letter in letters]
    answer, loose = _answer(row, len(options))
    passages = {name: passage for name in contexts if (passage := row.text(name)).strip()}
    context = next(iter(passages.values()), "")
    return Draft(row.identity(), row.text("prompt"), options, answer, context, loose, tuple(passages)[1:])


@lru_cache(maxsize=32)
def _option_and_context_columns(columns: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The option and context columns of a file; cached, because all rows of a file have the same."""
    return tuple(c for c in LETTERS if c in columns), tuple(c for c in CONTEXTS if c in columns)


def letter_range(count: int) -> str:
    """The letters of `count` options: "A-E" for five."""
    return f"A-{LETTERS[count - 1]}"


def _answer(row: RowReader, count: int) -> tuple[int | None, str]:
    """The answer's index, and the answer as written if its case or spaces differ."""
    written = row.text("answer")
    letter = written.strip()
    if not letter:
        return None, ""
    # ASCII only: some letters outside ASCII have A to J as their upper case.
    index = LETTERS[:count].find(letter.upper()) if len(letter) == 1 and letter.isascii() else -1
    if index < 0:
        defect = f"answer {quoted(written)} is not one of {letter_range(count)}"
        row.defects.append(Defect("answer", defect, fix=_fix(letter, count)))
        return None, ""
    return index, "" if written == LETTERS[index] else written


def _fix(answer: str, count: int) -> str:
    words = answer.replace(".", " ").replace(")", " ").replace("(", " ").split()
    letters = [word for word in words if len(word) == 1 and word in LETTERS[:count]]
    if len(words) > 1 and len(letters) == 1:
        return f"write only the letter: {letters[0]}"
    return "write the option's letter, not its number or text" if len(answer) > 1 or answer.isdigit() else ""


SHAPE = "prompt, A, B, ... (2 to 10 options), answer (a letter), optional id and context"
FORM = Form("kaggle", SHAPE, COLUMNS, ("prompt", "A", "B"), "answer", check, read)
