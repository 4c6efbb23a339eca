"""What a retriever is: it builds its part of an index, opens it, and ranks rows of chunks for queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from llmtuner.retrieval.encoder import Encoder
from llmtuner.retrieval.ranking import Ties

Hits = list[tuple[int, float]]  # rows with scores, best first


@dataclass(frozen=True, slots=True)
class BuildSource:
    """What a retriever builds its part from.

    Args:
        rows: the number of chunks.
        parts: the titled texts of all chunks, a list for each part; may be called again.
        folder: where the index is put together.
        parts_folder: where finished parts stay if the build is killed.
        ann_from: the number of chunks from which on exact search over vectors is refused.
        encoder: for retrievers that encode.
        tell: is told how many more chunks are done.
    """

    rows: int
    parts: Callable[[], Iterator[list[str]]]
    folder: Path
    parts_folder: Path
    ann_from: int = 1_000_000
    encoder: Encoder | None = None
    tell: Callable[[int], None] = field(default=lambda count: None)


class Retriever(Protocol):
    """Ranks the chunks of an index."""

    @classmethod
    def build(cls, source: BuildSource) -> None:
        """Write the retriever's part of an index.

        Raises:
            UserError: the corpus or the encoder does not suit it.
        """
        ...

    @classmethod
    def open(cls, folder: Path, rows: int, encoder: Encoder | None, ties: Ties) -> Retriever:
        """Open that part; what is large stays on disk.

        Args:
            ties: orders rows with equal scores.

        Raises:
            UserError: it is damaged.
        """
        ...

    def search(self, texts: Sequence[str], k: int) -> list[Hits]:
        """The best k rows for each text; fewer if the index has fewer that match, none for a text that says nothing."""
        ...
