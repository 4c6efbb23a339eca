"""What a corpus consists of: documents, and the chunks into which they are cut."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """One text of a corpus.

    Args:
        document_id: unique in the corpus; from the file, or made from its name and the place in it.
        title: "" where the corpus has none.
        text: the whole text; a NUL is a blank.
    """

    document_id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive sentences of a document, short enough to be a passage of a prompt.

    Args:
        chunk_id: "DOCUMENT_ID#N"; N counts the document's chunks from 0, those that were dropped included.
        text: the sentences, without the title.
    """

    chunk_id: str
    document_id: str
    title: str
    text: str

    @property
    def titled(self) -> str:
        """The text that is searched and read: the title in front, on a line of its own where there is one."""
        return f"{self.title}\n{self.text}" if self.title else self.text
