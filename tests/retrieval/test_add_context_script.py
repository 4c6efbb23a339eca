"""scripts/add_context.py: what it writes, and that bad input ends in a message or does what the documents say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, load_script

from llmtuner.retrieval.index.build import BuildSettings, build_index

ROWS = [
    {"id": "1", "prompt": "Where is vitamin A stored?", "A": "Liver", "B": "Bone", "answer": "A", "note": "x"},
    {"id": "2", "prompt": "What lets blood clot?", "A": "Vitamin K", "B": "Iron", "answer": "A", "context": "Own."},
    {"id": "3", "prompt": "the of", "A": "?", "B": "the", "answer": "B"},
]


@pytest.fixture(scope="module")
def script():
    return load_script("add_context")


@pytest.fixture
def add(script, tmp_path, corpus, capsys):
    """Adds contexts to the rows of a file: status, stdout, stderr; the new rows are in out.jsonl."""
    build_index([str(corpus)], tmp_path / "index")

    def call(*more, questions=tmp_path / "q.jsonl", index=tmp_path / "index", rows=ROWS, out=tmp_path / "out.jsonl"):
        if rows is not None:
            (tmp_path / "q.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        words = [str(questions), str(index), "--out", str(out), *map(str, more)]
        return script.main(words), *capsys.readouterr()

    return call


def written(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()]


def test_blank_contexts_are_filled_and_all_columns_stay(add, tmp_path):
    status, out, err = add()
    assert (status, err) == (0, "")
    assert "1 of 3 questions got passages; 1 kept the context that they had; 1 found none" in out
    first, second, third = written(tmp_path)
    assert first.items() >= ROWS[0].items()
    assert "Vitamin A is stored in the liver." in first["context"]
    assert first["context_ids"][0] == "liver#0"
    assert len(first["context_scores"]) == len(first["context_ids"])
    assert second == ROWS[1]
    assert third == ROWS[2] | {"context": "", "context_ids": [], "context_scores": []}


def test_replace_gives_every_question_a_context(add, tmp_path):
    assert add("--replace", "--k", "1")[0] == 0
    assert written(tmp_path)[1]["context_ids"] == ["blood#0"]


def test_budget_order_and_query(add, tmp_path):
    add("--k", 7, "--order", "best_first", "--query", "per_option", "--max_words", 14)
    first = written(tmp_path)[0]
    assert len(first["context"].split()) <= 14
    assert first["context"].startswith("Vitamins\nVitamin A")


def test_a_name_of_the_registry_and_a_path_with_named_columns(add, tmp_path):
    assert add(questions="llmscience_sample", rows=None)[0] == 0
    assert len(written(tmp_path)) == 40
    rows = [{"text": "Where is vitamin A stored?", "options": ["Liver", "Bone"], "right": 0, "hint": "old"}]
    path = f"{tmp_path / 'q.jsonl'}?prompt=text&answer=right"
    status, out, _ = add("--overwrite", questions=path, rows=rows)
    assert status == 0, out
    assert "has no place for a context: written as prompt, A, B, ..., answer" in out
    assert written(tmp_path)[0]["answer"] == "A"


def test_the_same_questions_without_answers_get_the_same_contexts(add, tmp_path):
    add()
    scored = [row["context"] for row in written(tmp_path)[::2]]
    add("--overwrite", rows=[{k: v for k, v in row.items() if k != "answer"} for row in ROWS])
    assert [row["context"] for row in written(tmp_path)[::2]] == scored


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--k", "0"), "--k 0: expected a whole number of at least 1"),
        (("--max_words", "-3"), "--max_words -3: expected a whole number of at least 1"),
        (("--query", "option"), "--query option: unknown value; choose from: all, per_option, prompt"),
        (("--order", "best"), "--order best: unknown value; choose from: best_last, best_first"),
        (("--engine", "ray"), "--engine ray: is not supported yet"),
        (("--rerank", "nowhere"), "--rerank nowhere: no such folder; give the folder of a cross-encoder"),
    ],
)
def test_wrong_flags(add, tmp_path, more, message):
    status, _, err = add(*more)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out.jsonl").exists()


def test_a_missing_index_a_damaged_one_and_one_of_another_version(add, tmp_path):
    assert "no such folder; give the --out of scripts/build_index.py" in add(index=tmp_path / "none")[2]
    (tmp_path / ".half.building").mkdir()
    assert "its build did not finish" in add(index=tmp_path / "half")[2]
    assert "is no index" in add(index=tmp_path)[2]
    assert "q.jsonl: is a file, and an index is a folder" in add(index=tmp_path / "q.jsonl")[2]
    with (tmp_path / "index" / "chunks.parquet").open("r+b") as file:
        file.truncate(100)
    assert "has 100 bytes" in add()[2]
    manifest = tmp_path / "index" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 9}))
    assert "in format 9" in add()[2]
    assert not (tmp_path / "out.jsonl").exists()


def test_an_encoder_that_has_moved_or_changed(add, corpus, tmp_path, tiny_bert, other_bert):
    """The message named a flag that the command does not have."""
    encoder = shutil.copytree(tiny_bert, tmp_path / "encoder")
    build_index([str(corpus)], tmp_path / "dense", BuildSettings(retriever="dense", encoder=str(encoder)))
    assert add(index=tmp_path / "dense")[0] == 0
    encoder.rename(tmp_path / "moved")
    status, _, err = add("--overwrite", index=tmp_path / "dense")
    assert status == 2
    assert "its encoder is not where it was" in err
    assert "put the encoder back" in err
    shutil.copytree(other_bert, encoder)
    assert "is another encoder" in add("--overwrite", index=tmp_path / "dense")[2]
    assert "--encoder" not in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b'{"prompt": "Q?", "A": "x"}\n', "A"),
        (b'{"text": "no question"}\n', "columns"),
        (b'{"prompt": "Q\xff?", "A": "x", "B": "y"}\n', "UTF-8"),
        (b'{"prompt": "Q?", "A": "x", "B": "y"', "JSON"),
    ],
)
def test_files_that_are_no_questions(add, tmp_path, content, message):
    (tmp_path / "q.jsonl").write_bytes(content)
    status, _, err = add(rows=None)
    assert status == 2
    assert message in err
    assert "Traceback" not in err


def test_a_missing_file_and_an_output_that_exists_or_has_another_name(add, tmp_path):
    assert "none.jsonl" in add(questions=tmp_path / "none.jsonl")[2]
    assert "name it ....jsonl" in add(out=tmp_path / "out.csv")[2]
    (tmp_path / "out.jsonl").write_text("mine")
    assert "exists; choose another path, or pass --overwrite" in add()[2]
    assert (tmp_path / "out.jsonl").read_text() == "mine"
    (tmp_path / "folder.jsonl").mkdir()
    assert "exists" in add("--overwrite", out=tmp_path / "folder.jsonl")[2]
    (tmp_path / "file").write_text("")
    assert add(out=tmp_path / "file" / "out.jsonl")[0] == 2


def test_separators_of_unicode_in_a_passage_and_long_texts(add, tmp_path, script):
    texts = ["Vitamin A\u2028is stored.\u2029In the\x85liver.", "vitamin A liver " * 4000]
    corpus = tmp_path / "more.jsonl"
    corpus.write_text("".join(json.dumps({"id": str(n), "text": text}) + "\n" for n, text in enumerate(texts)))
    build_index([str(corpus)], tmp_path / "other")
    assert add("--k", "50", index=tmp_path / "other", rows=ROWS[:1])[0] == 0
    assert len((tmp_path / "out.jsonl").read_bytes().decode().splitlines()) == 1
    assert len(written(tmp_path)[0]["context"].split()) <= 300


@pytest.mark.skipif(os.name == "nt", reason="no limits of file sizes")
@pytest.mark.subprocess
def test_a_full_disk_leaves_nothing_behind(add, tmp_path):
    add(rows=[ROWS[0] | {"id": str(n), "note": "x" * 500} for n in range(200)])
    (tmp_path / "out.jsonl").unlink()
    limit = (
        "import resource, runpy, signal, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999)); "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [
        sys.executable,
        "-c",
        limit,
        ROOT / "scripts" / "add_context.py",
        "q.jsonl",
        "index",
        "--out",
        "out.jsonl",
    ]
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "trial.jsonl: cannot be written: File too large; free space, or set TMPDIR" in done.stderr


def test_an_output_that_cannot_be_written_is_named(add, tmp_path):
    """The message was the system's alone, and named a temporary file or none."""
    assert "q.jsonl/out.jsonl: cannot be written: " in add(out=tmp_path / "q.jsonl" / "out.jsonl")[2]
    assert not [path for path in tmp_path.iterdir() if "out.jsonl" in path.name]
