"""Corpora of every type: the same documents, streamed, with stable ids; and each kind of bad input."""

from __future__ import annotations

import gzip
import json
import os
import random
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmtuner.errors import DataError
from llmtuner.retrieval import corpus
from llmtuner.retrieval.corpus import READERS, CorpusNotes, read_corpus, streams
from llmtuner.retrieval.corpus.columns import USUAL
from llmtuner.retrieval.corpus.text_file import is_list
from llmtuner.retrieval.passages import Document

ROWS = [
    {"id": "a", "title": "Cells", "text": "Cells divide.\nThey grow. U+2028 is here:\u2028."},
    {"id": "b", "title": "", "text": "水沸腾。"},
    {"id": "c", "title": "Salt", "text": "Salt melts."},
]
DOCUMENTS = [Document(row["id"], row["title"], row["text"]) for row in ROWS]


def zst(content: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(content)
    return out.getvalue().to_pybytes()


PACKERS = {"": bytes, ".gz": gzip.compress, ".zst": zst}


def jsonl(rows) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write(path, content, packing=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PACKERS[packing](content.encode() if isinstance(content, str) else content))
    return path


def read(*paths):
    notes = CorpusNotes()
    return list(read_corpus(paths, notes)), notes


def refusal(*paths, kind=DataError) -> str:
    with pytest.raises(kind) as error:
        list(read_corpus(paths))
    assert "\n" not in str(error.value)
    return str(error.value)


# --- the types


@pytest.mark.parametrize("packing", PACKERS)
def test_jsonl(tmp_path, packing):
    """U+2028 does not end a line."""
    documents, notes = read(write(tmp_path / f"c.jsonl{packing}", "\n" + jsonl(ROWS), packing))
    assert documents == DOCUMENTS
    assert (notes.documents, notes.blank, notes.renamed, notes.notices) == (3, 0, 0, [])


@pytest.mark.parametrize("row_group", [1, 2, 100])
def test_parquet(tmp_path, row_group):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "c.parquet", row_group_size=row_group)
    assert read(tmp_path / "c.parquet")[0] == DOCUMENTS


@pytest.mark.parametrize("kind", [pa.ipc.new_stream, pa.ipc.new_file])
def test_arrow(tmp_path, kind):
    table = pa.Table.from_pylist(ROWS)
    with kind(str(tmp_path / "c.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    assert read(tmp_path / "c.arrow")[0] == DOCUMENTS


def test_a_folder_of_save_to_disk(tmp_path):
    """A folder of a DatasetDict has all of its splits in the corpus."""
    from datasets import Dataset, DatasetDict

    Dataset.from_list(ROWS).save_to_disk(tmp_path / "one")
    DatasetDict({"x": Dataset.from_list(ROWS[:1]), "y": Dataset.from_list(ROWS[1:])}).save_to_disk(tmp_path / "two")
    assert read(tmp_path / "one")[0] == DOCUMENTS
    assert read(tmp_path / "two")[0] == DOCUMENTS


@pytest.mark.parametrize("packing", PACKERS)
def test_a_text_file_is_one_document(tmp_path, packing):
    text = "Cells divide. They grow.\n\nSalt melts. It is white."
    [document], notes = read(write(tmp_path / f"notes.txt{packing}", "\ufeff" + text, packing))
    assert document == Document(f"notes.txt{packing}", "", text)
    assert notes.notices == []


def test_markdown(tmp_path):
    write(tmp_path / "a.md", "# The cell #\n\nCells divide.\n\n## Parts\n\nThe wall.")
    write(tmp_path / "b.md", "Text first.\n# Later\nMore.")
    write(tmp_path / "c.md", "<!-- a comment -->\n\nText.\n")
    documents, _ = read(tmp_path)
    assert documents[0] == Document("a.md", "The cell", "\nCells divide.\n\n## Parts\n\nThe wall.")
    assert documents[1] == Document("b.md", "", "Text first.\n# Later\nMore.")
    assert documents[2].text.startswith("<!--")


FACTS = [
    "A bee is an insect",
    "Snow is white.",
    "1 day has 1440 minutes",
    "  gravel is a rough surface",
    "Water boils!",
    "水",
]


def test_a_list_of_statements_is_a_document_a_line(tmp_path):
    documents, notes = read(write(tmp_path / "facts.txt.gz", "\n" + "\r\n".join(FACTS) + "\n", ".gz"))
    assert [document.text.strip() for document in documents] == [fact.strip() for fact in FACTS]
    assert [document.document_id for document in documents] == [f"facts:{number}" for number in range(2, 8)]
    [notice] = notes.notices
    assert "each line is a document" in notice
    assert ".md" in notice


def test_the_advice_for_a_list_that_is_none_works(tmp_path):
    assert len(read(write(tmp_path / "facts.md", "\n".join(FACTS)))[0]) == 1


WRAPPED = (
    "The cell is the unit of all life, and every\nliving thing consists of one or more cells\nwhich divide into two "
    "when they have grown,\nso that each of the two has what it needs\nto live on and to divide again after that"
)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (FACTS, True),
        (["", *FACTS, "", ""], True),
        (FACTS[:4], False),
        ([*FACTS[:3], "", *FACTS[3:]], False),
        ([f"{fact}. And more. And more." for fact in FACTS], False),
        (WRAPPED.split("\n"), False),
        ([], False),
        (["", " "], False),
    ],
)
def test_what_a_list_of_statements_is(lines, expected):
    assert is_list(lines) is expected


def test_real_lists_of_facts(real_data):
    """All three are lists; the shortest facts have three words, and some begin with a blank."""
    documents, notes = read(
        *(real_data / "corpus" / name for name in os.listdir(real_data / "corpus") if "facts" in name)
    )
    assert len(documents) == 18_013
    assert len(notes.notices) == 3


def test_the_projects_own_corpora(tmp_path):
    from support import ROOT

    assert len(read(ROOT / "data" / "elementary" / "corpus.jsonl")[0]) == 640
    documents, _ = read(ROOT / "data" / "exam" / "passages.jsonl")
    assert all(document.title and document.document_id for document in documents)


def test_every_type_has_a_test():
    assert set(READERS) == {".jsonl", ".parquet", ".arrow", ".txt", ".md"}


# --- columns and ids


@pytest.mark.parametrize("role", USUAL)
def test_usual_names_of_columns(tmp_path, role):
    for number, name in enumerate(USUAL[role]):
        row = {"text": "T.", role: "value", name.upper(): "value"} if role != "text" else {name: "value"}
        if role in row and name != role:
            del row[role]
        [document], _ = read(write(tmp_path / f"{number}.jsonl", jsonl([row])))
        assert {"text": document.text, "title": document.title, "id": document.document_id}[role] == "value", name


def test_named_columns(tmp_path):
    path = write(tmp_path / "c.jsonl", jsonl([{"text": "no", "b|c": "Yes.", "k": 7, "name": "no", "t": "Title"}]))
    assert read(f"{path}?text=b%7Cc&id=k&title=t")[0] == [Document("7", "Title", "Yes.")]


def test_answers_and_solutions_are_never_read(tmp_path):
    row = {"id": "1", "text": "Salt melts.", "solution": "LEAK", "answer": "LEAK", "explanation": "LEAK"}
    [document], _ = read(write(tmp_path / "c.jsonl", jsonl([row])))
    assert document == Document("1", "", "Salt melts.")
    for name in ("solution", "answer", "explanation"):
        assert "never indexed" in refusal(f"{tmp_path / 'c.jsonl'}?text={name}")
        assert "never indexed" in refusal(f"{tmp_path / 'c.jsonl'}?title={name}")


@pytest.mark.parametrize("name", ["solution", "answer"])
def test_a_column_of_answers_is_no_text(tmp_path, name):
    assert "no column of texts" in refusal(write(tmp_path / "c.jsonl", jsonl([{"id": "1", name: "LEAK"}])))


def test_ids_are_made_of_the_file_and_the_line(tmp_path):
    write(tmp_path / "in" / "sub" / "c.jsonl.gz", jsonl([{"text": "A."}, {"text": "B.", "id": None}]), ".gz")
    write(tmp_path / "in" / "sub" / "d.txt", "Text. More.")
    assert [document.document_id for document in read(tmp_path / "in")[0]] == ["sub/c:1", "sub/c:2", "sub/d.txt"]


def test_whole_numbers_are_ids(tmp_path):
    pq.write_table(pa.table({"id": [7.0, None, 9.0], "text": ["A.", "B.", "C."]}), tmp_path / "c.parquet")
    assert [document.document_id for document in read(tmp_path / "c.parquet")[0]] == ["7", "c:2", "9"]


def test_the_same_id_again_gets_a_number(tmp_path):
    """Two corpora that count from 0 shared their ids: chunks of one were taken for those of the other."""
    first = write(
        tmp_path / "a.jsonl", jsonl([{"id": 0, "text": "A."}, {"id": 0, "text": "B."}, {"id": "0~2", "text": "C."}])
    )
    second = write(tmp_path / "b.jsonl", jsonl([{"id": 0, "text": "D."}]))
    documents, notes = read(first, second)
    assert [document.document_id for document in documents] == ["0", "0~2", "0~2~2", "0~3"]
    assert notes.renamed == 3


def test_many_documents_of_one_id(tmp_path, monkeypatch):
    """For each of them, all numbers were tried again: 20,000 took a minute, and 100,000 half an hour."""
    tried = []
    monkeypatch.setattr(corpus, "hash", lambda text: tried.append(text) or hash(text), raising=False)
    documents, _ = read(write(tmp_path / "a.jsonl", jsonl([{"id": "x", "text": "A."}] * 200)))
    assert [document.document_id for document in documents] == ["x", *(f"x~{number}" for number in range(2, 201))]
    assert len(tried) <= 3 * 200


def test_a_nul_becomes_a_blank(tmp_path):
    """A passage with one made a question file that no reader takes."""
    path = tmp_path / "corpus.jsonl"
    path.write_text(jsonl([{"id": "a", "title": "Sa\0lt", "text": "Salt\0melts."}]))
    assert list(read_corpus([str(path)])) == [Document("a", "Sa lt", "Salt melts.")]


def test_blank_documents_are_counted(tmp_path):
    rows = [{"text": "A."}, {"text": " \u200b\n"}, {"text": None}, {"id": "4"} | {"text": ""}]
    documents, notes = read(write(tmp_path / "c.jsonl", jsonl(rows)))
    assert (len(documents), notes.documents, notes.blank) == (1, 1, 3)


def test_one_document_at_a_time(tmp_path, monkeypatch):
    """Wikipedia does not fit into memory."""
    path = write(tmp_path / "c.jsonl.gz", jsonl([{"text": f"Text {n}." * 50} for n in range(2000)]), ".gz")
    monkeypatch.setattr(streams, "_PART", 4096)
    opened, expand = [], streams._expanded
    monkeypatch.setattr(streams, "_expanded", lambda *args: opened.append(expand(*args)) or opened[0])
    documents = read_corpus([path])
    assert len(list(islice(documents, 3))) == 3
    assert opened[0].tell() < 20_000
    documents.close()
    assert opened[0].closed


@pytest.mark.parametrize("kind", ["plain", "gz", "zst", "parquet", "arrow"])
def test_the_share_that_is_read_grows_to_one(tmp_path, kind):
    """Reading a Wikipedia takes hours, and nothing said how long it would go on."""
    rows = [{"id": str(n), "text": f"{n} {random.Random(n).randbytes(2000).hex()}"} for n in range(2000)]
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = tmp_path / {"plain": "a.jsonl", "gz": "a.jsonl.gz", "zst": "a.jsonl.zst"}.get(kind, f"a.{kind}")
    table = pa.Table.from_pylist(rows)
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=100)
    elif kind == "arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=100)
    elif kind == "plain":
        path.write_bytes(text)
    else:
        path.write_bytes(PACKERS[f".{kind}"](text))
    (tmp_path / "b.txt").write_text("a small file")
    notes = CorpusNotes()
    shares = [notes.share for _ in read_corpus([path, tmp_path / "b.txt"], notes)]
    assert shares == sorted(shares)
    assert shares[0] < 0.6
    assert any(0.3 < share < 0.9 for share in shares)
    assert shares[-1] == pytest.approx(1.0)


# --- bad input


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.jsonl", "", "is empty (0 bytes)"),
        ("c.jsonl", "\n \n", "no document and no text"),
        ("c.jsonl", '{"text": " "}\n', "1 blank document and no text"),
        ("c.txt", "", "no document and no text"),
        ("c.txt", " \n\u2028\n", "no text"),
        ("c.md", "# Title only\n", "no text"),
        ("c.jsonl", '{"text": "A."}\n{"text": "B.\n', "c.jsonl:2:"),
        ("c.jsonl", '{"text": "A."}\n["B."]\n', "c.jsonl:2: expected an object"),
        ("c.jsonl", '{"text": "A.", "text": "B."}\n', "c.jsonl:1: key 'text' occurs twice"),
        ("c.jsonl", '{"text": ["A."]}\n', "c.jsonl:1: text must be a text, found ['A.']"),
        ("c.jsonl", '{"text": "A.", "id": {}}\n', "c.jsonl:1: id must be a text or a whole number"),
        ("c.jsonl", '{"text": "A \\ud800."}\n', "c.jsonl:1: text holds half a character"),
        ("c.jsonl", '{"id": 1, "url": "x"}\n', "no column of texts; found 'id', 'url'; expected one of text, contents"),
        ("c.jsonl", '{"text": "A."}\n{"txt": "B."}\n', "c.jsonl:2: no column of texts"),
        ("c.jsonl", '{"prompt": "W?", "A": "a", "B": "b", "answer": "A", "text": ""}\n', "columns of a question file"),
        ("c.jsonl", '{"question": "W?", "choices": ["a", "b"], "answer": 0}\n', "columns of a question file"),
        ("c.jsonl", '{"text": "W?", "option1": "a", "option2": "b"}\n', "columns of a question file"),
        ("c.jsonl", b"<!DOCTYPE html><html>", "is a web page"),
        ("c.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("c.jsonl", b"PAR1...", "is a Parquet file, not JSONL; rename it to .parquet"),
        ("c.parquet", b"PAR1....", "is truncated or damaged"),
        ("c.parquet", '{"text": "A."}\n', "is not Parquet"),
        ("c.arrow", b"ARROW1\0\0....", "is truncated or damaged"),
        ("c.jsonl.gz", b"\x1f\x8b\x08....", "the archive is cut or damaged"),
        ("c.jsonl.zst", b"no archive", "the archive is cut or damaged"),
        ("c.txt", "Text, auf Deutsch: Größe und Äpfel, schön.".encode("latin-1"), "c.txt:1: is not UTF-8 at byte 21"),
        ("c.txt", "A text. More.".encode("utf-16"), "is UTF-16, expected UTF-8"),
        ("c.jsonl", b'{"text": "A."}\n{"text": "Gr\xf6\xdfe."}\n', "c.jsonl:2: is not UTF-8 at byte 12 of the line"),
        ("c.csv", "id,text\n1,A.", "'.csv' is no type of a corpus file; save the table as JSONL or Parquet"),
        ("c.json", "[]", "jq -c"),
        ("c.ndjson", "{}", "rename it to .jsonl"),
        ("c.parquet.gz", b"", "no type of a corpus file"),
        ("c", "Text.", "rename it to .txt"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path, name, content, message):
    text = refusal(write(tmp_path / name, content))
    assert message in text
    assert name in text or "no text" in message


def test_a_cut_archive(tmp_path):
    for packing in (".gz", ".zst"):
        path = write(tmp_path / f"c.jsonl{packing}", jsonl(ROWS * 500), packing)
        path.write_bytes(path.read_bytes()[:-20])
        assert "the archive is cut or damaged" in refusal(path)


def test_a_line_that_fills_the_memory(tmp_path, monkeypatch):
    """A few kilobytes can expand to a line of many gigabytes."""
    monkeypatch.setattr(streams, "_LONGEST", 3 * 2**20)
    path = write(tmp_path / "c.jsonl.gz", b" " * 2**23, ".gz")
    assert "a line is longer than" in refusal(path)


def test_an_arrow_stream_cut_between_batches(tmp_path):
    table = pa.Table.from_pylist(ROWS)
    path = tmp_path / "c.arrow"
    with path.open("wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        for batch in table.to_batches(max_chunksize=1)[:2]:
            writer.write_batch(batch)
        file.flush()
        cut = path.read_bytes()
    path.write_bytes(cut)
    assert "the mark of its end is missing" in refusal(path)


def test_a_column_twice(tmp_path):
    pq.write_table(pa.table([pa.array(["A."]), pa.array(["B."])], names=["text", "text"]), tmp_path / "c.parquet")
    assert "column 'text' occurs twice" in refusal(tmp_path / "c.parquet")


def test_question_files_in_parquet(tmp_path):
    pq.write_table(pa.table({"question": ["W?"], "choices": [["a", "b"]], "answer": [0]}), tmp_path / "c.parquet")
    assert "columns of a question file" in refusal(tmp_path / "c.parquet")


def test_every_question_file_of_the_project_is_refused():
    """With ?text=context, too: its rows hold the question beside its passage."""
    from support import ROOT

    for name in ("elementary/train.jsonl", "exam/test.jsonl", "demo/questions.jsonl"):
        assert "columns of a question file" in refusal(ROOT / "data" / name)
        assert "columns of a question file" in refusal(f"{ROOT / 'data' / name}?text=context")


def test_a_question_file_in_a_folder_is_refused(tmp_path):
    """Nobody noticed the exam among the books."""
    write(tmp_path / "books.jsonl", jsonl(ROWS))
    write(tmp_path / "sub" / "exam.jsonl", '{"prompt": "W?", "A": "a", "B": "b", "answer": "A"}\n')
    assert "exam.jsonl:1: has the columns of a question file" in refusal(tmp_path)
