"""Compressed texts: the same questions, damage is named, and a small file cannot fill the memory."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data import expand
from llmtuner.data.load import read_questions
from llmtuner.errors import DataError

CSV = "prompt,A,B,answer\n" + "Wie groß?,a,b,A\n" * 50
TSV = CSV.replace(",", "\t")
JSONL = '{"prompt": "Wie groß?", "A": "a", "B": "b", "answer": "A"}\n' * 50
JSON = "[" + ",".join(JSONL.splitlines()) + "]"


def zst(content: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(content)
    return out.getvalue().to_pybytes()


PACKERS = {".gz": gzip.compress, ".zst": zst}


def refusal(path) -> str:
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="train")
    return str(error.value)


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize(("suffix", "text"), [(".csv", CSV), (".tsv", TSV), (".jsonl", JSONL), (".json", JSON)])
def test_a_compressed_text_reads_like_the_text(tmp_path, packing, suffix, text):
    packed = tmp_path / f"exam{suffix}{packing}"
    packed.write_bytes(PACKERS[packing](text.encode()))
    (tmp_path / f"exam{suffix}").write_text(text, encoding="utf-8")
    read, meant = (read_questions(path, purpose="train").questions for path in (packed, tmp_path / f"exam{suffix}"))
    assert [(q.id, q.question, q.options, q.answer, q.line) for q in read] == [
        (q.id, q.question, q.options, q.answer, q.line) for q in meant
    ]


@pytest.mark.parametrize("packing", PACKERS)
@given(cut=st.integers(min_value=1, max_value=60))
def test_a_cut_archive_is_named(tmp_path_factory, packing, cut):
    content = PACKERS[packing](CSV.encode())
    path = tmp_path_factory.mktemp("cut") / f"exam.csv{packing}"
    path.write_bytes(content[: max(len(content) - cut, 5)])
    assert "the archive is cut or damaged" in refusal(path)


@pytest.mark.parametrize("packing", PACKERS)
def test_a_small_file_cannot_fill_the_memory(tmp_path, packing, monkeypatch):
    monkeypatch.setattr(expand, "LIMIT", 2**21)
    path = tmp_path / f"exam.csv{packing}"
    path.write_bytes(PACKERS[packing](b"a" * 2**23))
    assert path.stat().st_size < 2**16
    assert "expands to more than" in refusal(path)


def test_a_text_that_is_not_compressed_at_all(tmp_path):
    path = tmp_path / "exam.csv.gz"
    path.write_text(CSV, encoding="utf-8")
    assert "is not compressed, not gz; rename it to .csv" in refusal(path)
    path.write_bytes(zst(CSV.encode()))
    assert "is a zstd archive, not gz" in refusal(path)


def test_archives_that_are_not_read_say_how_to_unpack(tmp_path):
    (tmp_path / "exam.csv.zip").write_bytes(b"PK\x03\x04")
    assert "unknown file type '.zip'; unpack it: unzip exam.csv.zip" in refusal(tmp_path / "exam.csv.zip")
    (tmp_path / "exam.parquet.gz").write_bytes(gzip.compress(b"PAR1"))
    assert "unknown file type '.gz'" in refusal(tmp_path / "exam.parquet.gz")
