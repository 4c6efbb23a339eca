"""Dense retrieval: cosine similarity of vectors, exactly, over all chunks.

Source: Karpukhin et al., "Dense passage retrieval for open-domain question answering", EMNLP 2020, arXiv:2004.04906.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmtuner.errors import UserError
from llmtuner.retrieval.encoder import Encoder
from llmtuner.retrieval.ranking import Ties, best_rows, by_row
from llmtuner.retrieval.retrievers.base import BuildSource, Hits
from llmtuner.retrieval.retrievers.vector_parts import finished_part, write_part
from llmtuner.retrieval.terms import terms

VECTORS = "vectors.npy"
_BLOCK = 65_536  # chunks in memory at once
_QUERIES = 64  # at once
_DECIMALS = 6  # of a score: what is smaller depends on how texts share batches
_MARGIN = 1e-5  # what a product of fp32 may be wrong by


class Dense:
    """Exact search over vectors of unit length in `vectors.npy`, float32 [chunks, dimensions], mapped into memory.

    The products of a block choose more rows than are needed; their scores are then computed one by one in float64, so
    that ties and order depend neither on the block nor on the other queries.
    """

    def __init__(self, vectors_ND: NDArray[np.float32], encoder: Encoder, ties: Ties = by_row) -> None:
        self._vectors_ND, self._encoder, self._ties = vectors_ND, encoder, ties

    @classmethod
    def build(cls, source: BuildSource) -> None:
        """Encode every chunk, part by part; a part that an earlier, killed build finished is used.

        Raises:
            UserError: there are too many chunks for exact search.
        """
        encoder = source.encoder
        assert encoder is not None, "the table says that this retriever encodes"
        if source.rows > source.ann_from:
            raise UserError(too_many(source.rows, source.ann_from, encoder.dimensions))
        shape = (source.rows, encoder.dimensions)
        # Written as a file: a disk that is full under a mapped one kills the process.
        with (source.folder / VECTORS).open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for number, texts in enumerate(source.parts()):
                part_ND = finished_part(source.parts_folder, number, (len(texts), encoder.dimensions))
                if part_ND is None:
                    part_ND = encoder.encode(texts)
                    write_part(source.parts_folder, number, part_ND)
                file.write(part_ND.astype("<f4", copy=False).tobytes())
                source.tell(len(texts))

    @classmethod
    def open(cls, folder: Path, rows: int, encoder: Encoder | None, ties: Ties = by_row) -> Dense:
        """Open the vectors.

        Raises:
            UserError: they cannot be read, or belong to another number of chunks or another encoder.
        """
        assert encoder is not None, "the table says that this retriever encodes"
        path = folder / VECTORS
        try:
            vectors_ND = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{path}: cannot be read ({error}); build the index again") from error
        if vectors_ND.shape != (rows, encoder.dimensions) or vectors_ND.dtype != np.float32:
            raise UserError(
                f"{path}: has {vectors_ND.dtype} {list(vectors_ND.shape)}, expected float32 "
                f"{[rows, encoder.dimensions]}; build the index again"
            )
        return cls(vectors_ND, encoder, ties)

    def search(self, texts: Sequence[str], k: int) -> list[Hits]:
        """The k chunks with the most similar vectors for each text; none for a text of stop words or signs alone."""
        results: list[Hits] = [[] for _ in texts]
        asked = [number for number, text in enumerate(texts) if terms(text)]
        for start in range(0, len(asked), _QUERIES):
            numbers = asked[start : start + _QUERIES]
            queries_QD = self._encoder.encode([texts[number] for number in numbers])
            for number, hits in zip(numbers, self._nearest(queries_QD, k), strict=True):
                results[number] = hits
        return results

    def _nearest(self, queries_QD: NDArray[np.float32], k: int) -> list[Hits]:
        rows_Q: list[list[NDArray[np.int64]]] = [[] for _ in queries_QD]
        for start in range(0, len(self._vectors_ND), _BLOCK):
            scores_QN = queries_QD @ np.asarray(self._vectors_ND[start : start + _BLOCK]).T
            for rows, scores_N in zip(rows_Q, scores_QN, strict=True):
                last = scores_N[best_rows(scores_N, k)[-1]]
                rows.append(start + np.flatnonzero(scores_N >= last - _MARGIN))
        return [
            self._ranked(query_D, rows, k)
            for query_D, rows in zip(queries_QD, map(np.concatenate, rows_Q), strict=True)
        ]

    def _ranked(self, query_D: NDArray[np.float32], rows: NDArray[np.int64], k: int) -> Hits:
        products_ND = self._vectors_ND[rows].astype(np.float64) * query_D.astype(np.float64)
        scores_N = products_ND.sum(axis=1).round(_DECIMALS)
        best = best_rows(scores_N, k, ties=lambda places: self._ties(rows[places]))
        return list(zip(rows[best].tolist(), scores_N[best].tolist(), strict=True))


def too_many(rows: int, ann_from: int, dimensions: int) -> str:
    """The message about a corpus that is too large for exact search."""
    return (
        f"{rows:,} chunks are more than --ann_from {ann_from:,}: vectors.npy would take "
        f"{rows * dimensions * 4 / 1e9:,.1f} GB, which every query reads, and approximate search is not supported yet; "
        "use --retriever bm25, a smaller corpus, or a larger --ann_from"
    )
