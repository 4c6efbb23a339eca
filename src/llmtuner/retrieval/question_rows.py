"""Rows of question files with a new context: all columns of the source stay, and our readers must read the context."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmtuner.data.load import forget_files, read_questions
from llmtuner.data.paths import path_state
from llmtuner.data.question import Question
from llmtuner.data.read_as import ReadAs, form_for
from llmtuner.data.readers import read_table
from llmtuner.data.registry import DataSource
from llmtuner.data.table import Table, rows_of_one_column
from llmtuner.errors import DataError
from llmtuner.retrieval.contexts import Context

ADDED = ("context", "context_ids", "context_scores")
_TRIAL = "a passage that no file holds"


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

    def with_context(self, context: Context | None, *, as_kaggle: bool) -> dict[str, Any]:
        """The row as it is written.

        Args:
            context: the new one; None to keep what it has.
            as_kaggle: whether the question is written in Kaggle's form, because its own has no place for a context.
        """
        question, record = self.question, dict(self.record)
        if as_kaggle:
            options = dict(zip(question.letters, question.options, strict=True))
            answer = {} if question.answer_letter is None else {"answer": question.answer_letter}
            record = {"id": question.id, "prompt": question.question, **options, **answer, "context": question.context}
            record |= {name: value for name, value in self.record.items() if name not in {*record, *self.own}}
        if context is None:
            return record
        return record | {"context": context.text, "context_ids": context.ids, "context_scores": context.scores}


def read_rows(source: DataSource) -> list[Row]:
    """The rows of a data set in order.

    Raises:
        DataError: defects of a file.
    """
    rows: list[Row] = []
    for path, read_as in source.parts:
        questions = read_questions(path, purpose="predict", read_as=read_as).questions
        table = rows_of_one_column(read_table(tuple(Path(name) for name, _, _ in path_state(path)), path), str(path))
        own = _columns_read(table, read_as)
        for (_, record), question in zip(table.records, questions, strict=True):
            rows.append(Row({str(name): _plain(value) for name, value in record.items()}, question, own))
    return rows


def needs_kaggles_form(rows: Sequence[Row]) -> bool:
    """Whether our readers would read something else than the questions with their new contexts from the source's form.

    It is tried: some forms have another column for the passage, or several that are joined, and only a whole file tells
    how its answers are counted.
    """
    trial = [Context(_TRIAL if number % 2 else "", (), ()) for number in range(len(rows))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for row, context in zip(rows, trial, strict=True):
                file.write(json_line(row.with_context(context, as_kaggle=False)))
        try:
            read = read_questions(path, purpose="predict").questions
        except DataError:
            return True
        finally:
            forget_files()
    expected = (replace(row.question, context=context.text) for row, context in zip(rows, trial, strict=True))
    return len(read) != len(rows) or any(_meaning(a) != _meaning(b) for a, b in zip(read, expected, strict=True))


def json_line(record: Mapping[str, Any]) -> str:
    """A row as a line of JSONL, with line separators of Unicode escaped, at which some programs end a line."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    if any("\ud800" <= char <= "\udfff" for char in text):  # half of a surrogate pair, which UTF-8 cannot hold
        text = json.dumps(record, allow_nan=False)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085") + "\n"


def _meaning(question: Question) -> tuple[Any, ...]:
    return question.id, question.question, question.options, question.answer, question.context


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
