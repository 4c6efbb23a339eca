"""Markdown: one document a file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llmtuner.retrieval.corpus.rows import CorpusFile, CorpusNotes, Row
from llmtuner.retrieval.corpus.streams import numbered_lines

_TITLE = re.compile(r"\s*#[ \t]+([^\n]*?)[ \t#]*(?:\n|$)")


def read(file: CorpusFile, notes: CorpusNotes) -> Iterator[Row]:
    """The file as one document. A heading of the first level at its beginning is its title, not a part of the text.

    Raises:
        DataError: not readable, or not UTF-8.
    """
    if not file.path.stat().st_size:
        return
    text = "\n".join(line for _, line in numbered_lines(file))
    title = _TITLE.match(text)
    yield Row(1, file.name, title[1].strip() if title else "", text[title.end() :] if title else text)
