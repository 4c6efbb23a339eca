"""The chunks of an index in Parquet: written in small row groups, read row by row without loading the file."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmtuner.errors import UserError
from llmtuner.retrieval.passages import Chunk

_COLUMNS = ("chunk_id", "document_id", "title", "text")
_GROUP = 128  # rows: about 80 KB of text, which is what reading one row costs
_CACHED_GROUPS = 512  # about 40 MB


def write_chunks(path: Path, chunks: Sequence[Chunk]) -> None:
    """Write chunks to a new file; the same chunks give the same bytes.

    Raises:
        OSError: it cannot be written.
    """
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, _schema(), compression="zstd", write_statistics=False) as writer:
        writer.write_table(_table(chunks), row_group_size=_GROUP)


def join_files(parts: Iterable[Path], path: Path) -> None:
    """Write the chunks of several files into one, row group by row group.

    Raises:
        OSError: it cannot be written.
    """
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, _schema(), compression="zstd", write_statistics=False) as writer:
        for part in parts:
            with pq.ParquetFile(part) as file:
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group), row_group_size=_GROUP)


class ChunkStore:
    """Chunks by row. The row groups that were read last stay in memory.

    Raises:
        UserError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            self._file = pq.ParquetFile(path, memory_map=True)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{path}: damaged ({error}); copy it again, or build the index again") from error
        self._path = path
        metadata = self._file.metadata
        sizes = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        self._starts = list(accumulate(sizes, initial=0))  # the first row of each group, and the number of rows
        self._cache: OrderedDict[int, Any] = OrderedDict()
        self._places: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return self._starts[-1]

    def chunk(self, row: int) -> Chunk:
        """The chunk of a row."""
        group = bisect_right(self._starts, row) - 1
        columns = self._columns(group)
        return Chunk(*(str(column[row - self._starts[group]].as_py()) for column in columns))

    def by_id(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places of rows in the order of all ids, as texts. The ids are read once, at the first call."""
        if self._places is None:
            import pyarrow as pa
            import pyarrow.compute as pc

            try:
                ids = self._file.read(columns=[_COLUMNS[0]]).column(0)
            except (OSError, pa.ArrowException) as error:
                raise self._damaged(error) from error
            order_N = pc.sort_indices(ids).to_numpy().astype(np.int64)
            self._places = np.empty(len(order_N), np.int64)
            self._places[order_N] = np.arange(len(order_N))
        return self._places[rows]

    def titled_texts(self, size: int) -> Iterator[list[str]]:
        """All titled texts in order, so many at a time; nothing is cached."""
        texts: list[str] = []
        for group in range(self._file.num_row_groups):
            columns = [column.to_pylist() for column in self._read(group)]
            texts += [Chunk(*values).titled for values in zip(*columns, strict=True)]
            while len(texts) >= size:
                yield texts[:size]
                texts = texts[size:]
        if texts:
            yield texts

    def _columns(self, group: int) -> Any:
        if group in self._cache:
            self._cache.move_to_end(group)
        else:
            self._cache[group] = self._read(group)
            if len(self._cache) > _CACHED_GROUPS:
                self._cache.popitem(last=False)
        return self._cache[group]

    def _damaged(self, error: Exception) -> UserError:
        return UserError(f"{self._path}: damaged ({error}); copy it again, or build the index again")

    def _read(self, group: int) -> list[Any]:
        import pyarrow as pa

        try:
            table = self._file.read_row_group(group, columns=list(_COLUMNS))
        except (OSError, pa.ArrowException) as error:
            raise self._damaged(error) from error
        return [table.column(name) for name in _COLUMNS]


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in _COLUMNS])


def _table(chunks: Sequence[Chunk]) -> Any:
    import pyarrow as pa

    columns = [[getattr(chunk, name) for chunk in chunks] for name in _COLUMNS]
    try:
        arrays = [pa.array(column, pa.string()) for column in columns]
    except UnicodeEncodeError:  # half of a surrogate pair, as JSON can write it, is no character
        whole = [
            [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in column]
            for column in columns
        ]
        arrays = [pa.array(column, pa.string()) for column in whole]
    return pa.table(arrays, schema=_schema())
