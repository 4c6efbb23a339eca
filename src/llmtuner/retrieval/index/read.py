"""The first stage of a build: a corpus becomes files of chunks, part by part."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from llmtuner.errors import DataError
from llmtuner.files import sha256_of_file, write_atomic
from llmtuner.retrieval.chunks import cut
from llmtuner.retrieval.corpus import CorpusNotes, read_corpus
from llmtuner.retrieval.index.store import write_chunks
from llmtuner.retrieval.passages import Chunk
from llmtuner.retrieval.repeats import Repeats

PART = 16_384  # chunks
_DONE = "chunks.json"


@dataclass(frozen=True, slots=True)
class ReadCorpus:
    """What a corpus gave.

    Args:
        parts: the number of files of chunks.
        counts: documents, blank and renamed ones; chunks, and how many were left out as exact, near, wordless.
        notices: what the user should know.
    """

    parts: int
    counts: dict[str, int]
    notices: list[str]


def part_file(folder: Path, number: int) -> Path:
    """The file of a part's chunks."""
    return folder / f"chunks-{number:05}.parquet"


def read_parts(
    folder: Path,
    paths: Sequence[str],
    words: int,
    overlap: int,
    tell: Callable[[int], None],
    part: int = PART,
    notes: CorpusNotes | None = None,
) -> ReadCorpus:
    """Cut the corpus into chunks and write them in parts. What an earlier, killed build wrote is used.

    Which chunks repeat an earlier one is known only from all earlier ones. So a build that was killed here reads the
    corpus again from its beginning, but writes only the parts that are missing; once all are written, nothing is read.

    Args:
        tell: is told how many more chunks are written.
        notes: filled while the corpus is read.

    Raises:
        UserError, DataError: as `read_corpus`, or no chunk has words.
        OSError: a part cannot be written.
    """
    earlier = _finished(folder)
    if earlier is not None:
        return earlier
    notes, repeats = CorpusNotes() if notes is None else notes, Repeats()
    documents = read_corpus(paths, notes)
    chunks = repeats.keep(chunk for document in documents for chunk in cut(document, words, overlap))
    number = 0
    for number, batch in enumerate(_batches(chunks, part), start=1):
        _write_part(folder, number - 1, batch)
        tell(len(batch))
    if not number:
        raise DataError(f"the corpus has {notes.documents:,} documents and no word in them; give files with texts")
    counts = {name: getattr(notes, name) for name in ("documents", "blank", "renamed")}
    counts |= {"chunks": repeats.kept, **{name: getattr(repeats, name) for name in ("exact", "near", "wordless")}}
    read = ReadCorpus(number, counts, notes.notices)
    write_atomic(folder / _DONE, json.dumps(asdict(read)) + "\n")
    return read


def _batches(chunks: Iterator[Chunk], size: int) -> Iterator[list[Chunk]]:
    while batch := list(islice(chunks, size)):
        yield batch


def _write_part(folder: Path, number: int, chunks: Sequence[Chunk]) -> None:
    path = part_file(folder, number)
    about = {"first": chunks[0].chunk_id, "last": chunks[-1].chunk_id, "rows": len(chunks)}
    manifest = path.with_suffix(".json")
    known = _read_json(manifest)
    if path.is_file() and known == {**about, "sha256": sha256_of_file(path)}:
        return
    write_chunks(path, chunks)
    write_atomic(manifest, json.dumps({**about, "sha256": sha256_of_file(path)}) + "\n")


def _finished(folder: Path) -> ReadCorpus | None:
    """What was read, if every part is still as it was written."""
    content = _read_json(folder / _DONE)
    if not content:
        return None
    for number in range(content["parts"]):
        path = part_file(folder, number)
        if not path.is_file() or _read_json(path.with_suffix(".json")).get("sha256") != sha256_of_file(path):
            return None
    return ReadCorpus(**content)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
