"""JSON Lines: a document on each line."""

from __future__ import annotations

from collections.abc import Iterator

from llmtuner.data.problems import Problem
from llmtuner.data.readers.json_objects import checked_object, parse_value
from llmtuner.errors import DataError
from llmtuner.retrieval.corpus.columns import TableRows
from llmtuner.retrieval.corpus.rows import CorpusFile, CorpusNotes, Row
from llmtuner.retrieval.corpus.streams import numbered_lines


def read(file: CorpusFile, notes: CorpusNotes) -> Iterator[Row]:
    """The objects of a file; empty lines are skipped.

    Raises:
        DataError: the first broken line.
    """
    table = TableRows(file)
    for number, line in numbered_lines(file):
        if not line.strip():
            continue
        value, problem = parse_value(line, file.shown, number)
        record = problem or checked_object(value, file.shown, number)
        if isinstance(record, Problem):
            raise DataError(str(record))
        yield table.row(number, record)
