"""What only shows when all rows are read: options that do not exist, and what is kept but worth a warning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from llmtuner.data.forms.form import Defect, Draft
from llmtuner.data.problems import Problem, line_list, shown
from llmtuner.data.question import LETTERS, MAX_OPTIONS, MIN_OPTIONS

# From this share of rows on, blank last options mean "no such option". Kaggle's 6,000 has 2 rows with a blank E, a
# defect (0.03 %); the 60,000-row mix has 22.7 %, a source with four options.
MIXED_PERCENT = 1


@dataclass(slots=True)
class Numbered:
    """A draft with its place: `row` is 0-based and counts bad rows, too; `line` is 1-based."""

    row: int
    line: int
    draft: Draft


def count_options(drafts: Sequence[Numbered]) -> tuple[list[int], str]:
    """How many options each row really has, and a sentence about it if that is fewer than its columns."""
    tails = [_blank_tail(numbered.draft.options) for numbered in drafts]
    counts = [len(numbered.draft.options) for numbered in drafts]
    rows = sum(map(bool, tails))
    if not rows or rows * 100 < MIXED_PERCENT * len(drafts):
        return counts, ""
    # Never below two: a row of a test file must be answered, whatever it looks like.
    counts = [max(count - tail, min(count, MIN_OPTIONS)) for count, tail in zip(counts, tails, strict=True)]
    summary = ", ".join(f"{_rows(number)} with {count}" for count, number in sorted(Counter(counts).items()))
    what = f"blank last options in {rows:,} of {_rows(len(drafts))} are taken for options that do not exist: {summary}"
    return counts, what


def option_defects(draft: Draft, count: int) -> list[Defect]:
    """What makes a row with `count` options unusable."""
    if not MIN_OPTIONS <= count <= MAX_OPTIONS:
        what = f"{count} option{'s' * (count != 1)}"
        return [Defect("options", what, f"a question needs {MIN_OPTIONS} to {MAX_OPTIONS}")]
    if draft.answer is not None and draft.answer >= count:
        what = f"answer {LETTERS[draft.answer]} points to a blank option"
        return [Defect("answer", what, f"this row has {count} options", "fill the option in, or mend the answer")]
    return []


def option_oddities(options: Sequence[str]) -> list[Defect]:
    """What is kept and warned of: such rows are in the real files, and a test file must be answered as a whole."""
    plain = [option.strip() for option in options]
    if all(plain) and len(set(plain)) == len(plain):
        return []
    places: dict[str, str] = {}
    for letter, option in zip(LETTERS, plain, strict=False):
        places[option] = places.get(option, "") + letter
    blank = [Defect("blank option", f"option {letter} is blank") for letter in places.pop("", "")]
    equal = [
        Defect("equal options", f"options {' and '.join(letters)} are equal: {shown(option)}")
        for option, letters in places.items()
        if len(letters) > 1
    ]
    return blank + equal


def file_oddities(drafts: Sequence[Numbered], file: str, unit: str) -> list[Problem]:
    """Repeated ids, answers written loosely, contexts passed over: one warning for all lines alike."""
    places: dict[str, list[int]] = {}
    loose: list[Numbered] = []
    unused: dict[tuple[str, ...], list[int]] = {}
    for numbered in drafts:
        draft = numbered.draft
        if draft.id is not None:
            places.setdefault(draft.id, []).append(numbered.line)
        if draft.loose:
            loose.append(numbered)
        if draft.unused:
            unused.setdefault(draft.unused, []).append(numbered.line)
    found = [
        Problem(file, lines[0], f"id {shown(name)} stands in {line_list(lines, unit)}", kind="ids")
        for name, lines in places.items()
        if len(lines) > 1
    ]
    if loose:
        first, lines = loose[0].draft, [numbered.line for numbered in loose]
        what = f"answer {shown(first.loose)} was read as {LETTERS[first.answer or 0]}"
        if len(lines) > 1:
            what += f", as were others in lower case or between blanks: {line_list(lines, unit)}"
        found.append(Problem(file, lines[0], what, kind="loose answer"))
    for names, lines in unused.items():
        what = f"column {', '.join(map(shown, names))} is not used where another context is filled in, too"
        found.append(Problem(file, lines[0], f"{what}: {line_list(lines, unit)}", kind="context"))
    return found


def _blank_tail(options: Sequence[str]) -> int:
    tail = 0
    while tail < len(options) and not options[-1 - tail].strip():
        tail += 1
    return tail


def _rows(number: int) -> str:
    return f"{number:,} row{'s' * (number != 1)}"
