"""Checks that need all rows of a file: missing options, and oddities that deserve a warning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from llmtuner.data.forms.row import Defect, Draft
from llmtuner.data.normal_form import normal_form
from llmtuner.data.option_letters import compared_forms, surely_different
from llmtuner.data.problems import Problem, line_list, quoted
from llmtuner.data.question import LETTERS, MAX_OPTIONS, MIN_OPTIONS

# From this share of rows on, a blank last option means that there is none. Kaggle's 6,000 has 2 rows with a blank E, a
# defect (0.03 %); the 60,000-row mix has 22.7 %, from a source with four options.
MIXED_PERCENT = 1


@dataclass(slots=True)
class NumberedDraft:
    """A draft with its place: `row` is 0-based and counts defective rows too; `line` is 1-based."""

    row: int
    line: int
    draft: Draft


def count_options(drafts: Sequence[NumberedDraft]) -> tuple[list[int], str]:
    """The number of options of each row, and a notice if some rows have fewer options than columns."""
    blank_tails = [_blank_tail(numbered.draft.options) for numbered in drafts]
    counts = [len(numbered.draft.options) for numbered in drafts]
    short_rows = sum(map(bool, blank_tails))
    if not short_rows or short_rows * 100 < MIXED_PERCENT * len(drafts):
        return counts, ""
    # Never below two: every row of a test file must be answered.
    counts = [max(count - tail, min(count, MIN_OPTIONS)) for count, tail in zip(counts, blank_tails, strict=True)]
    summary = ", ".join(f"{_rows(number)} with {count}" for count, number in sorted(Counter(counts).items()))
    notice = (
        f"blank last options in {short_rows:,} of {_rows(len(drafts))} are read as options that do not exist: {summary}"
    )
    return counts, notice


def option_defects(draft: Draft, count: int) -> list[Defect]:
    """Defects that make a row with `count` options unusable."""
    if not MIN_OPTIONS <= count <= MAX_OPTIONS:
        defect = f"{count} option{'s' * (count != 1)}"
        fix = "leave out wrong options, or remove the question" if count > MAX_OPTIONS else ""
        return [Defect("options", defect, f"expected {MIN_OPTIONS} to {MAX_OPTIONS}", fix)]
    if draft.answer is not None and draft.answer >= count:
        defect = f"answer {LETTERS[draft.answer]} points to a blank option"
        return [Defect("answer", defect, f"this row has {count} options", "fill in the option, or correct the answer")]
    return []


def option_oddities(options: Sequence[str]) -> list[Defect]:
    """Blank and equal options. They only warn: real files have them, and every row of a test file needs an answer.

    Options are equal if they differ only in white space, invisible characters, width, Unicode form, or letters of their
    own. The audit's reason "equal options" names the same rows.
    """
    if surely_different(options):
        return []
    forms = compared_forms(options)
    if all(forms) and len(set(forms)) == len(forms):
        return []
    places_by_form: dict[str, list[int]] = {}
    for place, form in enumerate(forms):
        places_by_form.setdefault(form, []).append(place)
    blank = [Defect("blank option", f"option {LETTERS[place]} is blank") for place in places_by_form.pop("", [])]
    return blank + [_equal(form, places, options) for form, places in places_by_form.items() if len(places) > 1]


def _equal(form: str, places: Sequence[int], options: Sequence[str]) -> Defect:
    letters = " and ".join(LETTERS[place] for place in places)
    texts = {options[place].strip() for place in places}
    if len(texts) == 1:
        return Defect("equal options", f"options {letters} are equal: {quoted(texts.pop())}")
    behind_letters = len({normal_form(text) for text in texts}) > 1
    how = (
        "behind their own letters" if behind_letters else "apart from white space, invisible characters or Unicode form"
    )
    return Defect("equal options", f"options {letters} are equal {how}: {quoted(form)}")


def file_oddities(drafts: Sequence[NumberedDraft], file: str, unit: str) -> list[Problem]:
    """Repeated ids, loosely written answers, unused contexts: one warning of each kind, with all its lines."""
    lines_by_id: dict[str, list[int]] = {}
    loose: list[NumberedDraft] = []
    lines_by_unused: dict[tuple[str, ...], list[int]] = {}
    for numbered in drafts:
        draft = numbered.draft
        if draft.id is not None:
            lines_by_id.setdefault(draft.id, []).append(numbered.line)
        if draft.loose:
            loose.append(numbered)
        if draft.unused:
            lines_by_unused.setdefault(draft.unused, []).append(numbered.line)
    problems = [
        Problem(file, lines[0], f"id {quoted(name)} is repeated in {line_list(lines, unit)}", kind="ids")
        for name, lines in lines_by_id.items()
        if len(lines) > 1
    ]
    if loose:
        first, lines = loose[0].draft, [numbered.line for numbered in loose]
        oddity = f"answer {quoted(first.loose)} was read as {LETTERS[first.answer or 0]}"
        if len(lines) > 1:
            oddity += f"; answers in lower case or with spaces are in {line_list(lines, unit)}"
        problems.append(Problem(file, lines[0], oddity, kind="loose answer"))
    for names, lines in lines_by_unused.items():
        oddity = f"column {', '.join(map(quoted, names))} is not used in rows that have another context"
        problems.append(Problem(file, lines[0], f"{oddity}: {line_list(lines, unit)}", kind="context"))
    return problems


def _blank_tail(options: Sequence[str]) -> int:
    """The number of blank options at the end."""
    tail = 0
    while tail < len(options) and not options[-1 - tail].strip():
        tail += 1
    return tail


def _rows(number: int) -> str:
    return f"{number:,} row{'s' * (number != 1)}"
