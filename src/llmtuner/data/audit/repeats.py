"""Repeated questions: within a file (duplicates), between files (leaks), with different answers (conflicts)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from llmtuner.data.audit.rows import AuditRow, row_of
from llmtuner.data.duplicates import conflicts, exact_key, groups_of, near_groups, same_questions
from llmtuner.data.question import Question
from llmtuner.data.split import question_key


@dataclass(frozen=True, slots=True)
class Leak:
    """The questions that two files share. After training on one file, their scores on the other measure memory.

    Args:
        texts: different question texts in both files; the options are ignored.
        first_texts, second_texts: different question texts of each file.
        first_rows, second_rows: rows of each file whose text is also in the other file.
        questions: different questions in both files with the same options.
        near: rows of the second file that are near duplicates of a row of the first file and whose exact text is not
            in it; None if near duplicates were skipped.
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
    """Groups of repeated rows. Groups across files come first, then those within a file, by their first rows.

    Args:
        same_text: same question text; the options may differ.
        same_question: same text and set of options, and the same context if both have one.
        near: near duplicates with at least two different texts; None if near duplicates were skipped.
        conflicts: the groups of `same_question` with different answers. (The same question about two passages may have
            two answers.)
        leaks: for each pair of files.
        leaked: different question texts in more than one file.
        near_leaked: rows that are near duplicates of a row of an earlier file and whose text is in no earlier file;
            None if near duplicates were skipped.
    """

    same_text: tuple[tuple[AuditRow, ...], ...]
    same_question: tuple[tuple[AuditRow, ...], ...]
    near: tuple[tuple[AuditRow, ...], ...] | None
    conflicts: tuple[tuple[AuditRow, ...], ...]
    leaks: tuple[Leak, ...]
    leaked: int
    near_leaked: int | None


def repeats(files: Sequence[Sequence[Question]], names: Sequence[str], *, near: bool = True) -> Repeats:
    """Compare all rows of all files.

    Args:
        files: the questions of each file.
        names: of the files, for `Leak`.
        near: whether to search for near duplicates, which takes most of an audit's time.

    Raises:
        ImportError: `near` is set and datasketch is not installed.
    """
    questions = [question for file in files for question in file]
    groups = near_groups(questions) if near else None  # first, because it needs most of the memory
    texts = [question_key(question.question) for question in questions]
    keys = [exact_key(question) for question in questions]
    rows = [row_of(question) for question in questions]

    def listed(row_groups: list[list[int]]) -> tuple[tuple[AuditRow, ...], ...]:
        groups = (tuple(rows[row] for row in group) for group in row_groups)
        return tuple(sorted(groups, key=lambda group: len({row.file for row in group}) == 1))

    def repeated(keys: Sequence[Hashable]) -> list[list[int]]:
        return [group for group in groups_of(keys) if len(group) > 1]

    near_rows = None
    if groups is not None:
        near_rows = listed([group for group in repeated(groups) if len({texts[row] for row in group}) > 1])
    ends = [0]
    for file in files:
        ends.append(ends[-1] + len(file))
    spans = [range(start, end) for start, end in pairwise(ends)]
    leaks = [
        _leak((names[i], names[j]), (spans[i], spans[j]), texts, keys, groups)
        for i, j in combinations(range(len(files)), 2)
    ]
    same_question = same_questions(questions, keys)
    leaked, near_leaked = _leaked(spans, texts, groups)
    return Repeats(
        same_text=listed(repeated(texts)),
        same_question=listed(same_question),
        near=near_rows,
        conflicts=listed(conflicts(questions, same_question)),
        leaks=tuple(leaks),
        leaked=leaked,
        near_leaked=near_leaked,
    )


def _leaked(spans: Sequence[range], texts: Sequence[str], groups: Sequence[int] | None) -> tuple[int, int | None]:
    """Numbers of texts and near duplicates in more than one file. Each counts once, whatever the number of files."""
    seen_texts, leaked_texts, seen_groups, near_leaked = set[str](), set[str](), set[int](), 0
    for span in spans:
        file_texts = {texts[row] for row in span}
        leaked_texts |= file_texts & seen_texts
        if groups is not None:
            near_leaked += sum(groups[row] in seen_groups and texts[row] not in seen_texts for row in span)
            seen_groups |= {groups[row] for row in span}
        seen_texts |= file_texts
    return len(leaked_texts), None if groups is None else near_leaked


def _leak(
    names: tuple[str, str],
    spans: tuple[range, range],
    texts: Sequence[str],
    keys: Sequence[Hashable],
    groups: Sequence[int] | None,
) -> Leak:
    first_texts, second_texts = ({texts[row] for row in span} for span in spans)
    shared_texts = first_texts & second_texts
    shared_keys = {keys[row] for row in spans[0]} & {keys[row] for row in spans[1]}
    near_count = None
    if groups is not None:
        first_groups = {groups[row] for row in spans[0]}
        near_count = sum(groups[row] in first_groups and texts[row] not in first_texts for row in spans[1])
    return Leak(
        first=names[0],
        second=names[1],
        texts=len(shared_texts),
        first_texts=len(first_texts),
        second_texts=len(second_texts),
        first_rows=sum(texts[row] in shared_texts for row in spans[0]),
        second_rows=sum(texts[row] in shared_texts for row in spans[1]),
        questions=len(shared_keys),
        near=near_count,
    )
