"""A file into checked questions: recognises the form, collects every problem, warns of what can be lived with."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from llmtuner.data.forms import FORMS
from llmtuner.data.forms.form import Defect, Draft, Form
from llmtuner.data.problems import Problem, render_problems, shown
from llmtuner.data.question import LETTERS, MAX_OPTIONS, MIN_OPTIONS, Question
from llmtuner.data.readers import READERS
from llmtuner.data.readers.table import Table
from llmtuner.errors import DataError

# From this share of rows on, blank last options mean "no such option". Kaggle's 6,000 has 2 rows with a blank E, a
# defect (0.03 %); the 60,000-row mix has 22.7 %, a source with four options.
MIXED_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class QuestionFile:
    """The questions of one file, with what was noticed while reading."""

    path: Path
    questions: tuple[Question, ...]
    form: str
    warnings: tuple[Problem, ...]

    @property
    def labelled(self) -> bool:
        """Whether every question has an answer."""
        return all(question.answer is not None for question in self.questions)


def read_questions(
    path: str | os.PathLike[str], *, purpose: Literal["train", "predict"], dataset: str = ""
) -> QuestionFile:
    """Read and check a file; a second call for an unchanged file is free.

    Args:
        purpose: training needs an answer and a prompt in every row; prediction scores what there is.
        dataset: kept in the questions.

    Raises:
        DataError: everything that is wrong with the file, in one message.
    """
    file = Path(path)
    status = file.stat() if file.is_file() else None
    found = _read(file, status and status.st_mtime_ns, status and status.st_size, dataset)
    problems = list(found.errors)
    if purpose == "train":
        problems += [*_unanswered(found), *found.empty]
    if problems:
        raise DataError(render_problems(sorted(problems, key=lambda problem: problem.line)))
    warnings = found.warnings if purpose == "train" else (*found.warnings, *found.empty)
    return QuestionFile(file, found.questions, found.form.name, tuple(sorted(warnings, key=lambda p: p.line)))


@dataclass(frozen=True, slots=True)
class _Found:
    path: Path
    form: Form
    has_answers: bool
    questions: tuple[Question, ...]
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    empty: tuple[Problem, ...]  # prompts without text: an error in training, a warning in prediction


@lru_cache(maxsize=32)
def _read(path: Path, _mtime_ns: int | None, _size: int | None, dataset: str) -> _Found:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: unknown file type {path.suffix!r}; known are {', '.join(READERS)}")
    table = reader(path)
    if not table.records and not table.problems:
        raise DataError(f"{path}: has {'a header' if table.columns else 'columns'} but no questions; download it again")
    form = _recognise(path, table)
    errors, warnings, empty = list(table.problems), [], []
    drafts: list[tuple[int, int, Draft]] = []
    for row, (line, record) in enumerate(table.records):
        try:
            draft = form.read(record)
        except Defect as defect:
            errors.append(Problem(str(path), line, str(defect)))
            continue
        drafts.append((row, line, draft))
        warnings += [Problem(str(path), line, note) for note in draft.notes]
        if not draft.question.strip():
            empty.append(Problem(str(path), line, "the question has no text"))
    drafts, trimmed = _without_absent_options(drafts, path)
    warnings += trimmed
    questions = []
    for row, line, draft in drafts:
        defects = _defects(draft)
        errors += [Problem(str(path), line, defect) for defect in defects]
        if not defects:
            warnings += [Problem(str(path), line, oddity) for oddity in _oddities(draft)]
            questions.append(_question(draft, row, line, path, dataset))
    warnings += _repeated_ids(questions)
    has_answers = form.answer in table.columns
    return _Found(path, form, has_answers, tuple(questions), tuple(errors), tuple(warnings), tuple(empty))


def _recognise(path: Path, table: Table) -> Form:
    form = next((form for form in FORMS.values() if form.recognise(table.columns)), None)
    if form is None:
        if table.problems:
            raise DataError(render_problems(table.problems))
        found = ", ".join(map(shown, table.columns[:15]))
        known = "prompt, A, B, ... (Kaggle); query, choices (ARC); question, choices (ScienceQA)"
        raise DataError(f"{path}: not a known multiple-choice form; found the columns {found}; known are {known}")
    problems = [Problem(str(path), 1, line) for line in form.check(table.columns)]
    for column, found in table.types.items():
        wanted = form.columns.get(column, "any")
        if wanted not in (found, "any") and found != "null":
            problems.append(Problem(str(path), 0, f"column {column} must be {wanted}, found {found}"))
    if problems:
        raise DataError(render_problems([*problems, *table.problems]))
    return form


def _without_absent_options(
    drafts: list[tuple[int, int, Draft]], path: Path
) -> tuple[list[tuple[int, int, Draft]], list[Problem]]:
    """Take off blank last options where the file has so many that they must mean "no such option"."""
    blanks = [_blank_tail(draft.options) for _, _, draft in drafts]
    rows = sum(map(bool, blanks))
    if not rows or rows < MIXED_SHARE * len(drafts):
        return drafts, []
    trimmed = [
        (row, line, replace(draft, options=draft.options[: len(draft.options) - blank]))
        for (row, line, draft), blank in zip(drafts, blanks, strict=True)
    ]
    counts = Counter(len(draft.options) for _, _, draft in trimmed)
    summary = ", ".join(f"{number} rows with {count}" for count, number in sorted(counts.items()))
    what = f"blank last options in {rows} of {len(drafts)} rows are taken for options that do not exist: {summary}"
    return trimmed, [Problem(str(path), 0, what)]


def _blank_tail(options: Sequence[str]) -> int:
    tail = 0
    while tail < len(options) and not options[-1 - tail].strip():
        tail += 1
    return tail


def _defects(draft: Draft) -> list[str]:
    count = len(draft.options)
    if not MIN_OPTIONS <= count <= MAX_OPTIONS:
        return [f"{count} option{'s' * (count != 1)}; a question needs {MIN_OPTIONS} to {MAX_OPTIONS}"]
    if draft.answer is not None and draft.answer >= count:
        return [f"answer {LETTERS[draft.answer]} points to a blank option; this row has {count} options"]
    return []


def _oddities(draft: Draft) -> list[str]:
    """What is kept and warned of: such rows are in the real files, and a test file must be answered as a whole."""
    lines = [f"option {LETTERS[i]} is blank" for i, option in enumerate(draft.options) if not option.strip()]
    places: dict[str, str] = {}
    for letter, option in zip(LETTERS, draft.options, strict=False):
        if option.strip():
            places[option] = places.get(option, "") + letter
    lines += [
        f"options {' and '.join(letters)} are equal: {shown(option)}"
        for option, letters in places.items()
        if len(letters) > 1
    ]
    return lines


def _question(draft: Draft, row: int, line: int, path: Path, dataset: str) -> Question:
    return Question(
        id=str(row) if draft.id is None else draft.id,
        question=draft.question,
        options=tuple(draft.options),
        answer=draft.answer,
        context=draft.context,
        dataset=dataset,
        file=str(path),
        line=line,
    )


def _repeated_ids(questions: Sequence[Question]) -> list[Problem]:
    lines: dict[str, list[int]] = {}
    for question in questions:
        lines.setdefault(question.id, []).append(question.line)
    return [
        Problem(questions[0].file, where[1], f"id {shown(name)} stands in lines {', '.join(map(str, where[:5]))} too")
        for name, where in lines.items()
        if len(where) > 1
    ]


def _unanswered(found: _Found) -> list[Problem]:
    file = str(found.path)
    if not found.has_answers:
        return [Problem(file, 1, f"missing column {found.form.answer!r}: training needs an answer for every question")]
    return [Problem(file, q.line, "no answer; training needs one") for q in found.questions if q.answer is None]
