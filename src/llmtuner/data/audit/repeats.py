"""What occurs again: within a file (duplicates), between files (leaks), and with another answer (conflicts)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from llmtuner.data.audit.rows import Row, row_of
from llmtuner.data.duplicates import conflicts, exact_key, groups_of, near_groups, same_questions
from llmtuner.data.question import Question
from llmtuner.data.split import question_key


@dataclass(frozen=True, slots=True)
class Leak:
    """What two files share. A text in both measures memory, not knowledge, once one of them is trained on.

    Args:
        texts: different question texts that are in both files, whatever their options.
        first_texts, second_texts: different question texts of each file.
        first_rows, second_rows: rows of each file whose text is in the other one.
        questions: different questions that are in both with the same options, too.
        near: rows of the second file that are nearly a row of the first, and whose text is not in it; None where near
            duplicates were not looked for.
    """

    first: str
    second: str
    texts: int
    first_texts: int
    second_texts: int
    first_rows: int
    second_rows: int
    questions: int
    near: int | None


@dataclass(frozen=True, slots=True)
class Repeats:
    """Groups of rows that say the same, those across files first, else in the order of their first rows.

    Args:
        same_text: the question's text is the same; the options may differ.
        same_question: text and set of options are the same, and so is the context, where both have one.
        near: nearly the same, with different texts among them; None where this was not looked for.
        conflicts: groups of `same_question` whose answers differ. (The same question about two passages may have two
            answers.)
        leaks: of each pair of files.
        leaked: different question texts that are in more than one file.
        near_leaked: rows that are nearly a row of an earlier file, and whose text is in none of them; None as `near`.
    """

    same_text: tuple[tuple[Row, ...], ...]
    same_question: tuple[tuple[Row, ...], ...]
    near: tuple[tuple[Row, ...], ...] | None
    conflicts: tuple[tuple[Row, ...], ...]
    leaks: tuple[Leak, ...]
    leaked: int
    near_leaked: int | None


def repeats(files: Sequence[Sequence[Question]], names: Sequence[str], *, near: bool = True) -> Repeats:
    """Compare all rows of all files.

    Args:
        files: the questions of each file.
        names: what each file is called in `Leak`.
        near: also look for near duplicates, which takes most of an audit's time.

    Raises:
        ImportError: near duplicates are wanted and the package datasketch is not installed.
    """
    questions = [question for file in files for question in file]
    groups = near_groups(questions) if near else None  # first: it takes the most memory by far
    texts = [question_key(question.question) for question in questions]
    keys = [exact_key(question) for question in questions]
    rows = [row_of(question) for question in questions]

    def listed(places: list[list[int]]) -> tuple[tuple[Row, ...], ...]:
        groups = (tuple(rows[place] for place in group) for group in places)
        return tuple(sorted(groups, key=lambda group: len({row.file for row in group}) == 1))

    def again(of: Sequence[Hashable]) -> list[list[int]]:
        return [places for places in groups_of(of) if len(places) > 1]

    near_rows = None
    if groups is not None:
        near_rows = listed([places for places in again(groups) if len({texts[place] for place in places}) > 1])
    ends = [0]
    for file in files:
        ends.append(ends[-1] + len(file))
    spans = [range(start, end) for start, end in pairwise(ends)]
    leaks = [
        _leak((names[i], names[j]), (spans[i], spans[j]), texts, keys, groups)
        for i, j in combinations(range(len(files)), 2)
    ]
    same = same_questions(questions, keys)
    disagree = conflicts(questions, same)
    leaked, near_leaked = _leaked(spans, texts, groups)
    return Repeats(listed(again(texts)), listed(same), near_rows, listed(disagree), tuple(leaks), leaked, near_leaked)


def _leaked(spans: Sequence[range], texts: Sequence[str], groups: Sequence[int] | None) -> tuple[int, int | None]:
    """What is in more than one file, each counted once, however many files it is in."""
    seen, again, near, near_again = set[str](), set[str](), set[int](), 0
    for span in spans:
        here = {texts[row] for row in span}
        again |= here & seen
        if groups is not None:
            near_again += sum(groups[row] in near and texts[row] not in seen for row in span)
            near |= {groups[row] for row in span}
        seen |= here
    return len(again), None if groups is None else near_again


def _leak(
    names: tuple[str, str],
    spans: tuple[range, range],
    texts: Sequence[str],
    keys: Sequence[Hashable],
    groups: Sequence[int] | None,
) -> Leak:
    first, second = ({texts[row] for row in span} for span in spans)
    shared = first & second
    questions = {keys[row] for row in spans[0]} & {keys[row] for row in spans[1]}
    near = None
    if groups is not None:
        there = {groups[row] for row in spans[0]}
        near = sum(groups[row] in there and texts[row] not in first for row in spans[1])
    rows = [sum(texts[row] in shared for row in span) for span in spans]
    return Leak(*names, len(shared), len(first), len(second), rows[0], rows[1], len(questions), near)
