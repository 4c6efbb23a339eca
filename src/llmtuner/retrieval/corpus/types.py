"""The types of corpus files and their readers. CONTRIBUTING.md says how to add one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from llmtuner.retrieval.corpus import arrow_file, jsonl_file, markdown_file, parquet_file, text_file
from llmtuner.retrieval.corpus.rows import CorpusFile, CorpusNotes, Row

READERS: dict[str, Callable[[CorpusFile, CorpusNotes], Iterator[Row]]] = {
    ".jsonl": jsonl_file.read,
    ".parquet": parquet_file.read,
    ".arrow": arrow_file.read,
    ".txt": text_file.read,
    ".md": markdown_file.read,
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
