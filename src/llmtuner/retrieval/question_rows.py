"""Rows of question files with a new context: all columns of the source stay, and our readers must read the context."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from llmtuner.data.collect import read_source
from llmtuner.data.load import forget_files, read_questions
from llmtuner.data.paths import path_state
from llmtuner.data.question import Question
from llmtuner.data.read_as import ReadAs, form_for
from llmtuner.data.readers import read_table
from llmtuner.data.registry import DataSource
from llmtuner.data.soft_targets import COLUMNS as TARGETS
from llmtuner.data.table import Table, rows_of_one_column
from llmtuner.errors import DataError, UserError
from llmtuner.retrieval.contexts import Context

ADDED = ("context", "context_ids", "context_scores")
# The source's; prompt, A, B, ...; the same with other columns renamed; the latter with the options as a list, because
# in columns the number of a row's options depends on the other rows.
WrittenForm = Literal["own", "kaggle", "kaggle_apart", "list"]
RENAMING = ("kaggle_apart", "list")
WRITTEN_FORMS: tuple[WrittenForm, ...] = get_args(WrittenForm)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a question file.

    Args:
        record: its columns, as JSON can hold them.
        question: what the readers make of it.
        own: the columns that they read.
    """

    record: dict[str, Any]
    question: Question
    own: frozenset[str]

    def with_context(self, context: Context | None, form: WrittenForm) -> dict[str, Any]:
        """The row as it is written.

        Args:
            context: the new one; None to keep what it has.
        """
        question, record = self.question, dict(self.record)
        if form != "own":
            asked: dict[str, Any] = {"question": question.question, "options": list(question.options)}
            if form != "list":
                asked = {"prompt": question.question, **dict(zip(question.letters, question.options, strict=True))}
            answer = {} if question.answer_letter is None else {"answer": question.answer_letter}
            others = {name: value for name, value in record.items() if name not in self.own}
            record = {"id": question.id, **asked, **answer, "context": question.context}
            start = "source_" if form in RENAMING else ""
            names = {name: name if name in TARGETS else start + name for name in others}
            record |= {names[name]: value for name, value in others.items() if names[name] not in record}
        if context is None:
            return record
        return record | {"context": context.text, "context_ids": context.ids, "context_scores": context.scores}


def read_rows(source: DataSource) -> list[Row]:
    """The rows of a data set in order.

    Raises:
        DataError: defects of a file.
    """
    rows: list[Row] = []
    files = read_source(source, purpose="predict")
    for (path, read_as), file in zip(source.parts, files, strict=True):
        table = rows_of_one_column(read_table(tuple(Path(name) for name, _, _ in path_state(path)), path), str(path))
        own = _columns_read(table, read_as)
        for (_, record), question in zip(table.records, file.questions, strict=True):
            rows.append(Row({str(name): _plain(value) for name, value in record.items()}, question, own))
    return rows


def written_form(rows: Sequence[Row], fills: Callable[[Question], bool]) -> WrittenForm:
    """The first form in which our readers read the questions with their new contexts, and nothing else.

    It is tried: some forms have another column for the passage, or several that are joined; a column that is left over
    may make a third form of the file; and only a whole file tells how its answers are counted.

    Args:
        fills: whether a question gets a new context.

    Raises:
        UserError: there is none.
    """
    filled = [fills(row.question) for row in rows]
    for form in WRITTEN_FORMS:
        # Every row with a passage and without one: some readers take another column where the context is blank.
        if all(
            _reads_back(rows, [_trial(place % 2 == part) if new else None for place, new in enumerate(filled)], form)
            for part in (0, 1)
        ):
            return form
    raise UserError(
        f"{rows[0].question.file}: its columns {', '.join(rows[0].record)} cannot be read with a context beside them; "
        "leave out the columns that are not needed"
    )


def _trial(has_passage: bool) -> Context:
    return Context("a passage that no file holds" if has_passage else "", (), ())


def _reads_back(rows: Sequence[Row], contexts: Sequence[Context | None], form: WrittenForm) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.jsonl"
        try:
            with path.open("w", encoding="utf-8") as file:
                for row, context in zip(rows, contexts, strict=True):
                    file.write(json_line(row.with_context(context, form)))
        except OSError as error:
            raise UserError(
                f"{path}: cannot be written: {error.strerror or error}; free space, or set TMPDIR to another folder"
            ) from error
        try:
            read = read_questions(path, purpose="predict").questions
        except DataError:
            return False
        finally:
            forget_files()
    return len(read) == len(rows) and all(
        _meaning(question) == _meaning(row.question if context is None else replace(row.question, context=context.text))
        for question, row, context in zip(read, rows, contexts, strict=True)
    )


def json_line(record: Mapping[str, Any]) -> str:
    """A row as a line of JSONL, with line separators of Unicode escaped, at which some programs end a line."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    if any("\ud800" <= char <= "\udfff" for char in text):  # half of a surrogate pair, which UTF-8 cannot hold
        text = json.dumps(record, allow_nan=False)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085") + "\n"


def _meaning(question: Question) -> tuple[Any, ...]:
    texts = question.id, question.question, question.options, question.context
    return *texts, question.answer, question.probabilities, question.weight


def _columns_read(table: Table, read_as: ReadAs) -> frozenset[str]:
    """The columns of a file that are read as the question, its options, its answer, its passage or its id."""
    form, _ = form_for(table, read_as)
    assert form is not None, "the questions were read"
    names = {name.partition(".")[0] for name in form.columns} | {form.id_in(table.columns)}
    return frozenset(names & set(table.columns))


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: a number that is none becomes null, and other types their text."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
