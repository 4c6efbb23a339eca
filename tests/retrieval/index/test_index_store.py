"""Chunks in Parquet, read row by row."""

from __future__ import annotations

import pytest

from llmtuner.errors import UserError
from llmtuner.retrieval.index import store
from llmtuner.retrieval.index.store import ChunkStore, join_files, write_chunks
from llmtuner.retrieval.passages import Chunk


def chunks(first, last):
    return [Chunk(f"d{n // 7}#{n % 7}", f"d{n // 7}", "T" * (n % 2), f"text\u2028 {n}") for n in range(first, last)]


def test_rows_come_back_in_order_from_any_number_of_files(tmp_path):
    """Part files end in short row groups, and rows behind them were those of other chunks."""
    names = [tmp_path / f"{n}.parquet" for n in range(3)]
    for name, (first, last) in zip(names, [(0, 300), (300, 301), (301, 600)], strict=True):
        write_chunks(name, chunks(first, last))
    join_files(names, tmp_path / "all.parquet")
    opened = ChunkStore(tmp_path / "all.parquet")
    assert len(opened) == 600
    assert [opened.chunk(row) for row in range(600)] == chunks(0, 600)
    parts = list(opened.titled_texts(256))
    assert [len(part) for part in parts] == [256, 256, 88]
    assert [text for part in parts for text in part] == [chunk.titled for chunk in chunks(0, 600)]


def test_memory_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_CACHED_GROUPS", 2)
    write_chunks(tmp_path / "c.parquet", chunks(0, 1000))
    opened = ChunkStore(tmp_path / "c.parquet")
    for row in (0, 999, 500, 1, 130, 999):
        assert opened.chunk(row) == chunks(row, row + 1)[0]
    assert len(opened._cache) == 2


def test_half_a_character_is_written_as_a_replacement(tmp_path):
    write_chunks(tmp_path / "c.parquet", [Chunk("a#0", "a", "", "x \ud800 y \ud83d\ude00")])
    assert ChunkStore(tmp_path / "c.parquet").chunk(0).text == "x \ufffd y 😀"


def test_a_damaged_file_is_a_message(tmp_path):
    write_chunks(tmp_path / "c.parquet", chunks(0, 300))
    content = (tmp_path / "c.parquet").read_bytes()
    (tmp_path / "c.parquet").write_bytes(content[:-5])
    with pytest.raises(UserError, match="damaged"):
        ChunkStore(tmp_path / "c.parquet")
    (tmp_path / "c.parquet").write_bytes(content[:4] + bytes(400) + content[404:])
    with pytest.raises(UserError, match="damaged"):
        ChunkStore(tmp_path / "c.parquet").chunk(0)
