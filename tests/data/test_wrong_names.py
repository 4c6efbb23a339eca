"""Files whose content is of another type than their name says: the advice is tried before it is given, and it works."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmtuner.data.load import read_questions
from llmtuner.data.paths import is_data_file
from llmtuner.data.readers import PARSERS, READERS
from llmtuner.errors import DataError

RECORD = {"id": "7", "prompt": "Wie groß?", "A": "a", "B": "b", "answer": "A"}
CSV = ",".join(RECORD) + "\n" + ",".join(RECORD.values()) + "\n"
TABLE = pa.Table.from_pylist([RECORD])


def zst(content: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(content)
    return out.getvalue().to_pybytes()


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(TABLE, out)
    return out.getvalue()


def arrow(new_writer) -> bytes:
    out = pa.BufferOutputStream()
    with new_writer(out, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return out.getvalue().to_pybytes()


def workbook() -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    book.active.append(list(RECORD))
    book.active.append(list(RECORD.values()))
    book.save(out)
    return out.getvalue()


CONTENTS = {
    ".csv": CSV.encode(),
    ".tsv": CSV.replace(",", "\t").encode(),
    ".jsonl": (json.dumps(RECORD) + "\n").encode(),
    ".json": json.dumps([RECORD]).encode(),
    ".parquet": parquet(),
    ".arrow": arrow(pa.ipc.new_stream),
    ".xlsx": workbook(),
    ".csv.gz": gzip.compress(CSV.encode()),
    ".csv.zst": zst(CSV.encode()),
}
BINARY = [".parquet", ".arrow", ".xlsx", ".csv.gz", ".csv.zst"]
WRONG_NAMES = [
    *((content, ".csv") for content in BINARY),
    *((content, ".jsonl") for content in BINARY[:3]),
    *((content, name) for name in (".parquet", ".arrow", ".xlsx") for content in CONTENTS if content[1:4] != "csv."),
]


@pytest.mark.parametrize(("content", "name"), [pair for pair in WRONG_NAMES if pair[0] != pair[1]])
def test_the_advice_for_a_wrong_name_works(tmp_path, content, name):
    path = tmp_path / f"exam{name}"
    path.write_bytes(CONTENTS[content])
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="train")
    advice = re.search(r"rename it to (\.[a-z.]+)$", str(error.value))
    if ".csv." in content and name != ".csv":
        return
    assert advice, str(error.value)
    [question] = read_questions(path.rename(tmp_path / f"exam{advice[1]}"), purpose="train").questions
    assert (question.id, question.question, question.options) == ("7", "Wie groß?", ("a", "b"))


@pytest.mark.parametrize("content", BINARY)
def test_a_damaged_file_with_a_wrong_name_is_not_renamed(tmp_path, content):
    path = tmp_path / "exam.csv"
    path.write_bytes(CONTENTS[content][:-9])
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="train")
    assert "not readable either" in str(error.value)
    assert "rename it to" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_the_advice_for_utf_16_works(tmp_path, encoding):
    (tmp_path / "exam.csv").write_bytes(CSV.encode(encoding))
    with pytest.raises(DataError) as error:
        read_questions(tmp_path / "exam.csv", purpose="train")
    name = re.search(r"iconv -f (\S+) -t UTF-8 exam.csv > utf8.csv", str(error.value))[1]
    (tmp_path / "utf8.csv").write_bytes(CSV.encode(encoding).decode(name).encode())
    assert read_questions(tmp_path / "utf8.csv", purpose="train").questions[0].question == "Wie groß?"


@pytest.mark.parametrize(
    ("pack", "command"), [(bz2.compress, "bzip2 -dc exam.csv"), (lzma.compress, "xz -dc < exam.csv")]
)
def test_other_archives_are_unpacked_by_a_command_that_takes_any_name(tmp_path, pack, command):
    """gunzip, bunzip2 and unxz refuse a file whose name does not end as they expect."""
    (tmp_path / "exam.csv").write_bytes(pack(CSV.encode()))
    with pytest.raises(DataError) as error:
        read_questions(tmp_path / "exam.csv", purpose="train")
    assert f"unpack it: {command} > unpacked.csv" in str(error.value)


def test_every_type_is_recognised_by_its_suffix():
    for suffix in READERS:
        assert is_data_file(f"EXAM{suffix.upper()}")
        assert is_data_file(f"exam{suffix}.gz") == (suffix in PARSERS)
    assert not is_data_file("exam.zip")
