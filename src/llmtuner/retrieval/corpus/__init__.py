"""Reads a corpus: files of any type that has a reader become a stream of documents."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from llmtuner.data.paths import path_status
from llmtuner.data.question import is_blank
from llmtuner.data.sniff import split_suffix
from llmtuner.errors import DataError
from llmtuner.retrieval.corpus.files import corpus_files
from llmtuner.retrieval.corpus.rows import CorpusFile, CorpusNotes
from llmtuner.retrieval.corpus.types import READERS
from llmtuner.retrieval.passages import Document

__all__ = ["READERS", "CorpusFile", "CorpusNotes", "corpus_files", "read_corpus"]


def read_corpus(paths: Iterable[str | os.PathLike[str]], notes: CorpusNotes | None = None) -> Iterator[Document]:
    """The documents of a corpus, in the order of the files and of their rows. One document at a time is in memory.

    An id that an earlier document has, in the same or in another file, gets the first free of "ID~2", "ID~3", ...

    Args:
        paths: as for `corpus_files`.
        notes: filled with counts and notices while the documents are taken.

    Raises:
        UserError, DataError: as for `corpus_files`, at the first document; a defect of a file where it is reached; at
            the end, a corpus without any text.
    """
    notes = CorpusNotes() if notes is None else notes
    taken: set[int] = set()
    last: dict[int, int] = {}
    files = corpus_files(paths, notes)
    sizes = [max(1, path_status(file.path).st_size) for file in files]
    total, before = sum(sizes), 0  # bytes
    for file, size in zip(files, sizes, strict=True):
        reader = READERS[split_suffix(file.path)[0]]
        for row in reader(file, notes):
            notes.share = (before + size * file.position.share) / total
            if is_blank(row.text):
                notes.blank += 1
                continue
            document_id = _free_id(row.id, taken, last)
            notes.renamed += document_id != row.id
            notes.documents += 1
            # A question file with a NUL in it is refused by its readers, and passages become parts of one.
            yield Document(document_id, row.title.replace("\0", " "), row.text.replace("\0", " "))
        before += size
    if not notes.documents:
        blank = f"{notes.blank:,} blank document{'s' * (notes.blank > 1)}" if notes.blank else "no document"
        raise DataError(f"the corpus has {blank} and no text; give files with texts")


def _free_id(document_id: str, taken: set[int], last: dict[int, int]) -> str:
    """The id, or one made of it that no document has.

    Args:
        taken: hashes of the ids so far: they take half of the memory of most ids.
        last: the number that an id got last, by its hash. Trying all numbers again would take n² time for n documents
            of one id.
    """
    free, given = document_id, hash(document_id)
    number = last.get(given, 1)
    while (digest := hash(free)) in taken:
        number += 1
        free = f"{document_id}~{number}"
    taken.add(digest)
    if number > 1:
        last[given] = number
    return free
