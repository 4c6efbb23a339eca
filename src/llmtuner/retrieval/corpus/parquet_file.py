"""Parquet, through pyarrow, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

from llmtuner.data.readers.arrow_rows import damage
from llmtuner.data.sniff import read_start
from llmtuner.errors import DataError
from llmtuner.retrieval.corpus.arrow_rows import BATCH, rows_of_batch, wanted
from llmtuner.retrieval.corpus.columns import TableRows
from llmtuner.retrieval.corpus.rows import CorpusFile, CorpusNotes, Row


def read(file: CorpusFile, notes: CorpusNotes) -> Iterator[Row]:
    """The rows of a file; only the columns of text, title and id are loaded.

    Raises:
        DataError: the file is truncated or damaged, or has a column twice.
    """
    read_start(file.path, magic=(b"PAR1",), suffix=".parquet")
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = TableRows(file, unit="row")
    try:
        # pre_buffer would hold whole row groups
        with pq.ParquetFile(str(file.path), pre_buffer=False) as parquet:
            columns = wanted(table, parquet.schema_arrow.names, file)
            number = 1
            for batch in parquet.iter_batches(batch_size=BATCH, columns=columns):
                file.position.share = number / max(1, parquet.metadata.num_rows)
                yield from rows_of_batch(table, batch, number)
                number += batch.num_rows
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise damage(error, file.shown) from error
