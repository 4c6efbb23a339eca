"""Read a file into checked questions: recognise its form, collect every problem, warn about harmless oddities."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from llmtuner.data.forms.answers import READ, Answers, is_missing
from llmtuner.data.forms.columns import missing
from llmtuner.data.forms.form import Form
from llmtuner.data.forms.mapped import NAMED
from llmtuner.data.forms.row import Defect, RowReader
from llmtuner.data.forms.rules import NumberedDraft, count_options, file_oddities, option_defects, option_oddities
from llmtuner.data.paths import TRAIN, FileState, path_state, splits_left_out
from llmtuner.data.pauses import garbage_collection_paused
from llmtuner.data.problems import Problem, line_list, quoted, render_problems, terminal_path
from llmtuner.data.question import LETTERS, Question
from llmtuner.data.read_as import AS_IT_IS, ReadAs, form_for
from llmtuner.data.readers import read_table
from llmtuner.data.soft_targets import Targets
from llmtuner.data.table import Table, rows_of_one_column
from llmtuner.data.unused import unused_columns
from llmtuner.errors import DataError


@dataclass(frozen=True, slots=True)
class QuestionFile:
    """The questions of one file and the warnings from reading it.

    Args:
        numbered: whether the ids are row numbers, because the file has none of its own.
    """

    path: Path
    questions: tuple[Question, ...]
    form: str
    warnings: tuple[Problem, ...]
    numbered: bool = False

    @property
    def labelled(self) -> bool:
        """Whether every question has an answer."""
        return all(question.answer is not None for question in self.questions)


def read_questions(
    path: str | os.PathLike[str],
    *,
    purpose: Literal["train", "predict"],
    dataset: str = "",
    read_as: ReadAs = AS_IT_IS,
) -> QuestionFile:
    """Read and check a file. An unchanged file is read only once, whatever the purpose of later calls.

    Args:
        purpose: "train" requires an answer and a prompt in every row, "predict" does not.
        dataset: stored in each question's `dataset`.
        read_as: the columns and the style of the answers, where the user says how to read the file.

    Raises:
        DataError: all defects of the file, in one message.
    """
    file = Path(path)
    reading = _read_cached(file, dataset, read_as)
    problems = list(reading.errors)
    if purpose == "train":
        problems += [*_unanswered(reading), *reading.only_in_training]
    if problems:
        raise DataError(render_problems(_by_line(problems)))
    more = reading.training_notices if purpose == "train" else reading.only_in_training
    warnings = (*reading.warnings, *more)
    return QuestionFile(file, reading.questions, reading.form.name, tuple(_by_line(warnings)), reading.numbered)


def forget_files() -> None:
    """Free the files that were read, for a command that is done with large ones."""
    _read.cache_clear()


@dataclass(frozen=True, slots=True)
class Inspection:
    """The readable rows of a file, and all of its defects.

    Args:
        questions: rows without an error; they may have warnings, no answer or a blank prompt.
        errors: the defects for which `read_questions` rejects the file.
        unit: the unit of line numbers, "line" or "row".
        numbered: whether the ids are row numbers, because the file has none of its own.
    """

    path: Path
    questions: tuple[Question, ...]
    form: str
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    unit: str = "line"
    numbered: bool = False

    @property
    def unread(self) -> int:
        """Number of lines after an error that stopped reading."""
        return sum(problem.unread for problem in self.errors)


def inspect_questions(
    path: str | os.PathLike[str],
    *,
    purpose: Literal["train", "predict"] = "train",
    dataset: str = "",
    read_as: ReadAs = AS_IT_IS,
) -> Inspection:
    """Read a file without stopping at defective rows. A file without any answers is a test file, not an error.

    Args:
        purpose, dataset, read_as: as of `read_questions`.

    Raises:
        DataError: the file has no readable questions at all: it is missing, empty, or of unknown type or form.
    """
    file = Path(path)
    reading = _read_cached(file, dataset, read_as)
    has_answers = any(question.answer is not None for question in reading.questions)
    errors, warnings = [*reading.errors], [*reading.warnings]
    if purpose == "train":
        errors += [*reading.only_in_training, *(_unanswered(reading) if has_answers else ())]
    else:
        warnings += reading.only_in_training
    return Inspection(
        file,
        reading.questions,
        reading.form.name,
        tuple(_by_line(errors)),
        tuple(_by_line(warnings)),
        reading.unit,
        reading.numbered,
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """The result of reading a file, before the purpose decides which problems are errors."""

    file: str
    form: Form
    columns: tuple[str, ...]
    header: int
    questions: tuple[Question, ...]
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    only_in_training: tuple[Problem, ...]  # an error in training, a warning in prediction
    training_notices: tuple[Problem, ...]  # for trainings alone
    unit: str

    @property
    def numbered(self) -> bool:
        return self.form.id_in(self.columns) not in self.columns


def _read_cached(file: Path, dataset: str, read_as: ReadAs) -> _Reading:
    state = path_state(file)
    # The resolved path is part of the key: a relative path is a different file after a change of directory.
    with garbage_collection_paused():
        return _read(file, file.resolve(), state, dataset, read_as)


@lru_cache(maxsize=32)
def _read(path: Path, _resolved: Path, state: tuple[FileState, ...], dataset: str, read_as: ReadAs) -> _Reading:
    file = terminal_path(path)
    table = rows_of_one_column(read_table(tuple(Path(name) for name, _, _ in state), path), file)
    if not table.records and not table.problems:
        contents = "has a header but" if table.header else "has" if table.columns else "is blank and has"
        raise DataError(f"{file}: {contents} no questions; download it again")
    if not table.columns and table.problems:
        raise DataError(render_problems(table.problems))
    form, defects = form_for(table, read_as)
    if form is None or defects:
        problems = [*_problems(file, table.header, defects), *table.problems]
        raise DataError(render_problems(_by_line(problems)))
    drafts, row_errors = read_drafts(table, form, file)
    answers = Answers(file, table.unit, form.answer, form.styles, form.documented, read_as.answer_base)
    settled = answers.settle([(numbered.line, numbered.draft) for numbered in drafts])
    row_errors += [*settled.errors, *_disagreements(drafts, form, file)]
    errors = [*table.problems, *row_errors]
    defective_lines = {problem.line for problem in row_errors}
    drafts = [numbered for numbered in drafts if numbered.line not in defective_lines]
    blank = [n.line for n in drafts if not n.draft.question.strip()]
    only_in_training = [Problem(file, line, "the question has no text", kind="prompt") for line in blank]
    targets = Targets(table, file, [*form.columns, *form.known])
    questions, option_errors, warnings = _questions(drafts, file, dataset, targets, lettered=form.has_option_columns)
    warnings += [*table.warnings, *targets.warnings(), *settled.warnings, *file_oddities(drafts, file, table.unit)]
    warnings += [
        *unused_columns(table, form, file),
        *_doubted(table, form, file),
        *_other_splits(path, Path(state[0][0])),
    ]
    return _Reading(
        file=file,
        form=form,
        columns=table.columns,
        header=table.header,
        questions=tuple(questions),
        errors=(*errors, *option_errors),
        warnings=tuple(warnings),
        only_in_training=(*settled.base, *only_in_training, *targets.problems),
        training_notices=tuple(targets.notices()),
        unit=table.unit,
    )


def _doubted(table: Table, form: Form, file: str) -> list[Problem]:
    """The rows that the data set's own authors mark as wrong: they are read as they stand."""
    lines = [line for line, record in table.records if form.doubts and record.get(form.doubts) not in ("ok", None)]
    defect = f"{form.doubts} is not 'ok': the authors of the data set hold these questions or answers to be wrong: "
    fix = "leave these rows out, or correct them"
    return [Problem(file, lines[0], defect + line_list(lines, table.unit), fix=fix, kind="doubted")] if lines else []


def _other_splits(path: Path, read: Path) -> list[Problem]:
    """That a folder has other splits than the one that was read."""
    others = ", ".join(map(terminal_path, splits_left_out(path, read)))
    if not others:
        return []
    notice, fix = f"the split {TRAIN} of the folder is read", f"for another one, give {others}"
    return [Problem(terminal_path(path), 0, notice, fix=fix, kind="split")]


def read_drafts(table: Table, form: Form, file: str) -> tuple[list[NumberedDraft], list[Problem]]:
    """The rows of a table, their answers not settled, and their defects. A row without options is no draft."""
    drafts: list[NumberedDraft] = []
    errors: list[Problem] = []
    row = RowReader({}, table.columns)
    for number, (line, record) in enumerate(table.records):
        row.record = record
        draft = form.read(row)
        if row.defects:
            errors += _problems(file, line, row.defects)
        if draft.options or not row.defects:
            drafts.append(NumberedDraft(number, line, draft))
        if row.defects:
            row.defects = []
    return drafts, errors


def _disagreements(drafts: Sequence[NumberedDraft], form: Form, file: str) -> list[Problem]:
    """Rows whose answer differs from the one in the form's other answer column."""
    if form.second_answer is None:
        return []
    column, style = form.second_answer
    problems = []
    for numbered in drafts:
        draft = numbered.draft
        if draft.answer is None or is_missing(draft.second):
            continue
        agrees = READ[style](draft.second, draft) == draft.answer
        if style == "text":  # which several options may share
            agrees = str(draft.second).split() == draft.options[draft.answer].split()
        if not agrees:
            defect = f"{form.answer} means option {LETTERS[draft.answer]}, {column} {quoted(draft.second)} does not"
            problems.append(Problem(file, numbered.line, defect, fix="correct one of them", kind="two answers"))
    return problems


def _questions(
    drafts: Sequence[NumberedDraft], file: str, dataset: str, targets: Targets, *, lettered: bool
) -> tuple[list[Question], list[Problem], list[Problem]]:
    """The rows as questions, errors and warnings.

    Args:
        targets: reads what a row says beside its answer.
        lettered: whether each option has its own column, so that a row with fewer options has blank cells.
    """
    counts, notice = count_options(drafts) if lettered else ([len(n.draft.options) for n in drafts], "")
    warnings = [Problem(file, 0, notice, kind="trimmed")] if notice else []
    questions: list[Question] = []
    errors: list[Problem] = []
    for numbered, count in zip(drafts, counts, strict=True):
        draft, line = numbered.draft, numbered.line
        defects = option_defects(draft, count)
        if defects:
            errors += _problems(file, line, defects)
            continue
        options = tuple(draft.options[:count])
        if oddities := option_oddities(options):
            warnings += _problems(file, line, oddities)
        name = str(numbered.row) if draft.id is None else draft.id
        target, answer = targets.of(numbered.row, count), draft.answer
        if answer is None and is_missing(draft.written) and target.likeliest is not None:
            answer = target.likeliest
            targets.derived.append(line)
        soft, weight = target.probabilities, target.weight
        context = draft.context
        questions.append(Question(name, draft.question, options, answer, context, dataset, file, line, soft, weight))
    return questions, errors, warnings


def _unanswered(reading: _Reading) -> list[Problem]:
    """The missing answers as problems: one for the whole column, or one per row."""
    file, column, questions = reading.file, reading.form.answer, reading.questions
    if questions and all(question.answer is not None for question in questions):  # perhaps by their probabilities
        return []
    if any(problem.kind == "base" for problem in reading.errors):  # said already: none of them could be read
        return []
    expected = "training needs an answer for every question"
    soft = any(question.probabilities is not None for question in questions)  # then only some rows lack an answer
    if column and column.partition(".")[0] not in reading.columns and not soft:
        defects = missing(reading.form, reading.columns, [column])
        named = reading.form.name == NAMED  # by the user, in the path
        fix = "name it: &answer=NAME" if named else "{}, or name the column of the answers in the path: ?answer=NAME"
        return [Problem(file, reading.header, defect.what, expected, fix.format(defect.fix)) for defect in defects]
    unanswered = [
        Problem(file, question.line, f"no answer; training needs one{_tied(question)}", kind="no answer")
        for question in questions
        if question.answer is None
    ]
    if len(unanswered) > 1 and len(unanswered) == len(questions) and not soft:
        defect = f"column {column!r} is blank in all {len(questions):,} rows" if column else "no row has an answer"
        return [Problem(file, questions[0].line, defect, expected)]
    return unanswered


def _tied(question: Question) -> str:
    """Why probabilities give no answer."""
    return "" if question.probabilities is None else " (several options share its highest probability)"


def _problems(file: str, line: int, defects: Iterable[Defect]) -> list[Problem]:
    return [Problem(file, line, defect.what, defect.expected, defect.fix, defect.kind) for defect in defects]


def _by_line(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: problem.line)
