"""Batches of Arrow rows, shared by Parquet and Arrow files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from llmtuner.data.problems import quoted
from llmtuner.errors import DataError
from llmtuner.retrieval.corpus.columns import TableRows
from llmtuner.retrieval.corpus.rows import CorpusFile, Row

BATCH = 1000  # rows decoded at once


def wanted(table: TableRows, names: Sequence[str], file: CorpusFile) -> list[str]:
    """The columns to load.

    Raises:
        DataError: a column occurs twice, or there is no text among them.
    """
    repeated = next((name for name in names if list(names).count(name) > 1), None)
    if repeated is not None:
        raise DataError(f"{file.shown}: column {quoted(repeated)} occurs twice; rename or remove one of them")
    columns = table.columns(names)
    return list(dict.fromkeys(name for name in (columns.text, columns.title, columns.id) if name))


def rows_of_batch(table: TableRows, batch: Any, number: int) -> Iterator[Row]:
    """The rows of a record batch, the first of which has this number."""
    for place, record in enumerate(batch.to_pylist()):
        yield table.row(number + place, record)
