"""A file into checked questions: recognises the form, collects every problem, warns of what can be lived with."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from llmtuner.data.forms import FORMS
from llmtuner.data.forms.columns import form_of, missing
from llmtuner.data.forms.form import Defect, Form, Row
from llmtuner.data.forms.rules import Numbered, count_options, file_oddities, option_defects, option_oddities
from llmtuner.data.problems import Problem, render_problems, terminal_path
from llmtuner.data.question import Question
from llmtuner.data.readers import READERS
from llmtuner.data.sniff import file_status
from llmtuner.errors import DataError


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
    """Read and check a file; a second call for an unchanged file is free, for the other purpose, too.

    Args:
        purpose: training needs an answer and a prompt in every row; prediction scores what there is.
        dataset: kept in the questions.

    Raises:
        DataError: everything that is wrong with the file, in one message.
    """
    file = Path(path)
    found = _found(file, dataset)
    problems = list(found.errors)
    if purpose == "train":
        problems += [*_unanswered(found), *found.empty]
    if problems:
        raise DataError(render_problems(_by_line(problems)))
    warnings = found.warnings if purpose == "train" else (*found.warnings, *found.empty)
    return QuestionFile(file, found.questions, found.form.name, tuple(_by_line(warnings)))


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file as it is: the rows that could be read, and everything that is wrong with the file.

    Args:
        questions: rows without an error; they may have warnings, no answer or a blank prompt.
        errors: what `read_questions` refuses a training file for.
        unit: what line numbers count, "line" or "row".
    """

    path: Path
    questions: tuple[Question, ...]
    form: str
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    unit: str = "line"

    @property
    def unread(self) -> int:
        """Lines that no question was looked for in, because of an error before them."""
        return sum(problem.unread for problem in self.errors)


def inspect_questions(path: str | os.PathLike[str], *, dataset: str = "") -> Inspection:
    """Read a file without stopping at defective rows. A file without any answers is a test file, and no error.

    Raises:
        DataError: the file cannot be read as questions at all: not there, empty, of no known type or form.
    """
    file = Path(path)
    found = _found(file, dataset)
    some_answers = any(question.answer is not None for question in found.questions)
    errors = [*found.errors, *found.empty, *(_unanswered(found) if some_answers else ())]
    warnings = tuple(_by_line(found.warnings))
    return Inspection(file, found.questions, found.form.name, tuple(_by_line(errors)), warnings, found.unit)


def _found(file: Path, dataset: str) -> _Found:
    status = file_status(file)
    # With the working directory: a relative path may name another file by the second call.
    with _no_collection():
        return _read(file, file.resolve(), status.st_mtime_ns, status.st_size, dataset)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the garbage collector: it would go through all rows again and again (a third of the time), in vain."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(frozen=True, slots=True)
class _Found:
    """What a file holds, whatever it is wanted for."""

    file: str
    form: Form
    columns: tuple[str, ...]
    header: int
    questions: tuple[Question, ...]
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    empty: tuple[Problem, ...]  # prompts without text: an error in training, a warning in prediction
    unit: str


@lru_cache(maxsize=32)
def _read(path: Path, _resolved: Path, _mtime_ns: int, _size: int, dataset: str) -> _Found:
    file = terminal_path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{file}: unknown file type {path.suffix!r}; known are {', '.join(READERS)}")
    table = reader(path)
    if not table.records and not table.problems:
        has = "has a header but" if table.header else "has" if table.columns else "is blank and has"
        raise DataError(f"{file}: {has} no questions; download it again")
    if not table.columns and table.problems:
        raise DataError(render_problems(table.problems))
    form, defects = form_of(table, FORMS.values())
    if form is None or defects:
        problems = [*_problems(file, table.header, defects), *table.problems]
        raise DataError(render_problems(_by_line(problems)))
    errors = list(table.problems)
    drafts, empty = [], []
    for number, (line, record) in enumerate(table.records):
        row = Row(record, table.columns)
        draft = form.read(row)
        if row.defects:
            errors += _problems(file, line, row.defects)
            continue
        drafts.append(Numbered(number, line, draft))
        if not draft.question.strip():
            empty.append(Problem(file, line, "the question has no text", kind="prompt"))
    questions, more_errors, warnings = _questions(drafts, file, dataset, lettered="choices" not in form.columns)
    errors += more_errors
    warnings += file_oddities(drafts, file, table.unit)
    found = tuple(questions), tuple(errors), tuple(warnings), tuple(empty)
    return _Found(file, form, table.columns, table.header, *found, unit=table.unit)


def _questions(
    drafts: Sequence[Numbered], file: str, dataset: str, *, lettered: bool
) -> tuple[list[Question], list[Problem], list[Problem]]:
    """The rows as questions, errors, warnings.

    Args:
        lettered: each option has a column of its own, so that a row with fewer options has blank ones.
    """
    counts, trimmed = count_options(drafts) if lettered else ([len(n.draft.options) for n in drafts], "")
    warnings = [Problem(file, 0, trimmed, kind="trimmed")] if trimmed else []
    questions: list[Question] = []
    errors: list[Problem] = []
    for numbered, count in zip(drafts, counts, strict=True):
        draft, line = numbered.draft, numbered.line
        defects = option_defects(draft, count)
        if defects:
            errors += _problems(file, line, defects)
            continue
        options = tuple(draft.options[:count])
        warnings += _problems(file, line, option_oddities(options))
        name = str(numbered.row) if draft.id is None else draft.id
        questions.append(Question(name, draft.question, options, draft.answer, draft.context, dataset, file, line))
    return questions, errors, warnings


def _unanswered(found: _Found) -> list[Problem]:
    answer, questions = found.form.answer, found.questions
    if answer not in found.columns:
        defects = missing(found.form, found.columns, [answer])
        return [
            Problem(found.file, found.header, defect.what, "training needs an answer for every question", defect.fix)
            for defect in defects
        ]
    blank = [
        Problem(found.file, q.line, "no answer; training needs one", kind="no answer")
        for q in questions
        if q.answer is None
    ]
    if len(blank) > 1 and len(blank) == len(questions):
        what = f"column {answer!r} is blank in all {len(blank):,} rows"
        return [Problem(found.file, questions[0].line, what, "training needs an answer for every question")]
    return blank


def _problems(file: str, line: int, defects: Iterable[Defect]) -> list[Problem]:
    return [Problem(file, line, defect.what, defect.expected, defect.fix, defect.kind) for defect in defects]


def _by_line(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: problem.line)
