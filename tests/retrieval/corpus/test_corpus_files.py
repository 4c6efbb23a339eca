"""Which files a path, a folder or a pattern stands for."""

from __future__ import annotations

import pytest

from llmtuner.errors import DataError, UserError
from llmtuner.retrieval.corpus import CorpusNotes, corpus_files
from llmtuner.retrieval.corpus.rows import TextColumns


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x", encoding="utf-8")


def names(*paths):
    notes = CorpusNotes()
    return [file.name for file in corpus_files(paths, notes)], notes.notices


def test_a_folder_in_the_order_of_its_names(tmp_path):
    touch(tmp_path, "b.txt", "a/z.md", "a/b.jsonl.gz", "c.parquet", ".hidden/x.txt", ".x.txt")
    assert names(tmp_path)[0] == ["a/b.jsonl.gz", "a/z.md", "b.txt", "c.parquet"]


def test_a_pattern(tmp_path):
    touch(tmp_path, "b.txt", "a.txt", "c.md")
    assert names(tmp_path / "*.txt")[0] == ["a.txt", "b.txt"]
    with pytest.raises(DataError, match="no file matches"):
        corpus_files([tmp_path / "*.parquet"])


def test_the_order_of_the_paths(tmp_path):
    touch(tmp_path, "b.txt", "a.txt")
    assert names(tmp_path / "b.txt", tmp_path / "a.txt")[0] == ["b.txt", "a.txt"]


def test_pages_about_a_table_are_not_read(tmp_path):
    touch(tmp_path, "README.md", "LICENSE.txt", "notes.txt", "train-00000.parquet")
    files, notices = names(tmp_path)
    assert files == ["notes.txt", "train-00000.parquet"]
    assert len(notices) == 2
    touch(tmp_path / "texts", "README.md", "notes.txt")
    assert names(tmp_path / "texts")[0] == ["README.md", "notes.txt"]


def test_files_of_other_types_are_said(tmp_path):
    touch(tmp_path, "a.txt", "b.csv", "c.csv", "d.png", "Makefile")
    _, [notice] = names(tmp_path)
    assert notice.endswith("files of other types are not read: .csv (2), .png (1), Makefile (1)")


def test_a_link_to_a_folder_is_said(tmp_path):
    """A part of the corpus was missing, and nothing said so."""
    touch(tmp_path, "corpus/a.txt", "elsewhere/b.txt")
    (tmp_path / "corpus" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "corpus" / "self").symlink_to(tmp_path / "corpus")
    files, notices = names(tmp_path / "corpus")
    assert files == ["a.txt"]
    assert [notice.partition(": ")[2] for notice in notices] == [
        "is a link to a folder, and is not read; name it as a path"
    ] * 2
    assert names(tmp_path / "corpus" / "more")[0] == ["b.txt"]


def test_an_index_is_no_corpus(tmp_path):
    """An index inside the folder of its corpus became a part of the next index, and its chunks came first."""
    touch(tmp_path, "a.txt", "index/manifest.json", "index/chunks.parquet")
    files, [notice] = names(tmp_path)
    assert files == ["a.txt"]
    assert notice == f"{tmp_path / 'index'}: is an index, and is not read"
    with pytest.raises(DataError, match=r"is an index that scripts/build_index.py made"):
        corpus_files([tmp_path / "index"])


def test_columns_of_a_path(tmp_path):
    touch(tmp_path, "a.jsonl", "b.jsonl")
    files = corpus_files([f"{tmp_path / '*.jsonl'}?text=body&id=key"])
    assert [file.columns for file in files] == [TextColumns("body", "key")] * 2


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("body=x", "unknown key 'body'.*use text, id, title"),
        ("text=x&text=y", "text is given twice"),
        ("text=", "text names no column"),
    ],
)
def test_what_stands_behind_a_path(tmp_path, query, message):
    touch(tmp_path, "a.jsonl")
    with pytest.raises(UserError, match=message):
        corpus_files([f"{tmp_path / 'a.jsonl'}?{query}"])


def test_no_such_column(tmp_path):
    from llmtuner.retrieval.corpus import read_corpus

    (tmp_path / "a.jsonl").write_text('{"text": "A."}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.jsonl:1: text=body: no such column; found 'text'"):
        list(read_corpus([f"{tmp_path / 'a.jsonl'}?text=body"]))


@pytest.mark.parametrize("again", ["a.txt", "./a.txt", "*.txt", "."])
def test_a_file_given_twice(tmp_path, again):
    """The second copy would only be dropped as duplicates, after hours."""
    touch(tmp_path, "a.txt")
    with pytest.raises(UserError, match=r"a\.txt: is given twice"):
        corpus_files([tmp_path / "a.txt", f"{tmp_path}/{again}"])


def test_nothing_given():
    with pytest.raises(UserError, match="no corpus given"):
        corpus_files([])


def test_missing_paths(tmp_path):
    touch(tmp_path, "wiki.jsonl", "empty/a.png")
    with pytest.raises(DataError, match=r"wikj\.jsonl: not found.*did you mean wiki\.jsonl"):
        corpus_files([tmp_path / "wikj.jsonl"])
    with pytest.raises(DataError, match=r"is a folder without files of a corpus; expected files that end in \.jsonl"):
        corpus_files([tmp_path / "empty"])
