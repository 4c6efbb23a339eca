"""The types of corpus files and their readers. CONTRIBUTING.md says how to add one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from llmtuner.retrieval.corpus.arrow_file import read as read_arrow
from llmtuner.retrieval.corpus.jsonl_file import read as read_jsonl
from llmtuner.retrieval.corpus.markdown_file import read as read_markdown
from llmtuner.retrieval.corpus.parquet_file import read as read_parquet
from llmtuner.retrieval.corpus.rows import CorpusFile, CorpusNotes, Row
from llmtuner.retrieval.corpus.text_file import read as read_text

READERS: dict[str, Callable[[CorpusFile, CorpusNotes], Iterator[Row]]] = {
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    ".txt": read_text,
    ".md": read_markdown,
}
TABLES = frozenset({".jsonl", ".parquet", ".arrow"})  # types with columns
COMPRESSED = frozenset({".jsonl", ".txt", ".md"})  # types that may be compressed
# Suffixes of other types, with the fix.
OTHERS = {
    **dict.fromkeys((".ndjson", ".jsonlines", ".jl"), "rename it to .jsonl"),
    **dict.fromkeys((".markdown", ".mdown"), "rename it to .md"),
    **dict.fromkeys((".text", ".log", ""), "if it is plain text, rename it to .txt"),
    **dict.fromkeys((".csv", ".tsv", ".xlsx"), "save the table as JSONL or Parquet"),
    ".json": "write each object on its line: jq -c '.[]' {name} > corpus.jsonl",
    ".zip": "unpack it: unzip {name}",
    ".bz2": "unpack it: bunzip2 {name}",
    ".xz": "unpack it: unxz {name}",
    ".pkl": "it may run any code when it is opened; write the table as Parquet or JSONL",
    **dict.fromkeys((".pdf", ".docx", ".html", ".htm", ".xml", ".tex"), "convert it to plain text first"),
}
