"""Arrow files, as the library `datasets` saves them, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

from llmtuner.data.readers.arrow_file import check_end
from llmtuner.data.readers.arrow_rows import damage
from llmtuner.data.sniff import read_start
from llmtuner.errors import DataError
from llmtuner.retrieval.corpus.arrow_rows import BATCH, rows_of_batch, wanted
from llmtuner.retrieval.corpus.columns import TableRows
from llmtuner.retrieval.corpus.rows import CorpusFile, CorpusNotes, Row

_FILE, _STREAM = b"ARROW1", b"\xff\xff\xff\xff"


def read(file: CorpusFile, notes: CorpusNotes) -> Iterator[Row]:
    """The rows of a file, mapped into memory.

    Raises:
        DataError: the file is cut or damaged, or has a column twice.
    """
    start = read_start(file.path, magic=(_FILE, _STREAM), suffix=".arrow")
    import pyarrow as pa

    table = TableRows(file, unit="row")
    try:
        with pa.memory_map(str(file.path)) as source:
            if start.startswith(_FILE):
                opened = pa.ipc.open_file(source)
                count = opened.num_record_batches
                batches = map(opened.get_batch, range(count))
            else:
                check_end(file.path, file.shown)
                count = 0  # not known
                batches = iter(opened := pa.ipc.open_stream(source))
            columns = wanted(table, opened.schema.names, file)
            number = 1
            for place, whole in enumerate(batches, start=1):
                file.position.share = place / count if count else source.tell() / source.size()
                selected = whole.select(columns)
                # Damaged offsets lead out of the mapped memory, which would end the process.
                selected.validate(full=True)
                for begin in range(0, selected.num_rows, BATCH):
                    yield from rows_of_batch(table, selected.slice(begin, BATCH), number + begin)
                number += selected.num_rows
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise damage(error, file.shown) from error
