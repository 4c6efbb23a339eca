"""scripts/audit_mcq.py: exit status, output files, and mistakes that are reported before any work starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import load_script

from llmtuner.data.predictions import Prediction, write_predictions

main = load_script("audit_mcq").main
ROW = {"prompt": "Which gas do plants take in?", "A": "carbon dioxide", "B": "nitrogen", "answer": "A"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to run in, with two files that share a question."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text(
        "\n".join(json.dumps(row) for row in (ROW, ROW | {"prompt": "And animals, what?"}))
    )
    (tmp_path / "b.jsonl").write_text(json.dumps(ROW | {"id": "x"}))
    return tmp_path


def test_a_summary_and_a_page_by_default(folder, capsys):
    assert main(["a.jsonl"]) == 0
    message = capsys.readouterr().out
    assert "2 questions" in message
    assert "Wrote audit.html" in message
    assert [path.name for path in folder.glob("audit*")] == ["audit.html"]
    assert main(["a.jsonl"]) == 0, "an earlier audit is replaced"


def test_json_alone_goes_to_standard_output(folder, capsys):
    assert main(["a.jsonl", "--no_html", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["llmtuner_audit"] == 1
    assert result["files"][0]["counts"]["questions"] == 2
    assert not list(folder.glob("*.html"))


def test_json_and_page_go_where_they_are_told(folder, capsys):
    arguments = ["a.jsonl", "b.jsonl", "--json", "found.json", "--html", "page.html"]
    for _ in range(2):
        assert main(arguments) == 0
    assert "Wrote page.html" in capsys.readouterr().out
    assert json.loads((folder / "found.json").read_text())["repeats"]["leaks"][0]["texts"] == 1
    assert sorted(path.name for path in folder.iterdir()) == ["a.jsonl", "b.jsonl", "found.json", "page.html"]


def test_the_files_are_written_whoever_reads_the_summary(folder):
    """With `| head`, the page was lost, and the exit status reported wrong arguments."""
    script = Path(__file__).resolve().parents[1] / "scripts" / "audit_mcq.py"
    command = [sys.executable, str(script), "a.jsonl", "b.jsonl", "--fail_on", "leak"]
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(command, check=False, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert process.returncode == 1
    assert process.stderr == "failed on leak: 1 question texts in more than one file\n", "no traceback, no error"
    assert (folder / "audit.html").is_file()


def test_the_exit_status_says_whether_a_named_check_hit(folder, capsys):
    assert main(["a.jsonl", "b.jsonl", "--fail_on", "conflict,error", "--no_html"]) == 0
    assert main(["a.jsonl", "b.jsonl", "--fail_on", "conflict,leak", "--no_html"]) == 1
    message = capsys.readouterr()
    assert "failed on leak: 1 question texts in more than one file" in message.err
    assert "checks (names for --fail_on)" in message.out, "the summary is there all the same"


def test_no_near_leaves_them_out(folder, capsys):
    assert main(["a.jsonl", "--no_html", "--no_near", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["repeats"]["near"] is None
    assert result["checks"]["near_duplicate"] is None


MISTAKES = [
    (["nowhere.jsonl"], "nowhere.jsonl: not found"),
    (["."], "is a folder with several splits or files, expected one; choose from"),
    (["empty.csv"], "is empty (0 bytes)"),
    (["a.jsonl", "a.jsonl"], "given twice"),
    (["a.jsonl", "--fail_on", "leek"], "Did you mean leak?"),
    (["a.jsonl", "--fail_on", ""], "no check is named"),
    (["a.jsonl", "--fail_on", "near_leak", "--no_near"], "leave out one"),
    (["a.jsonl", "--fail_on", "label_error"], "needs the predictions"),
    (["a.jsonl", "--html", "x.html", "--no_html"], "contradict"),
    (["a.jsonl", "--html", "mine.html"], "exists and is not an earlier audit"),
    (["a.jsonl", "--html", "no/such/page.html"], "does not exist; create it"),
    (["a.jsonl", "--html", "page.csv"], "must end in .html"),
    (["a.jsonl", "--html", "folder.html"], "is a folder"),
    (["a.jsonl", "--json", "mine.json"], "exists and is not an earlier audit"),
    (["--json", "a.jsonl", "b.jsonl"], "put --json last"),
    (["mine.json", "--json", "mine.json", "--overwrite"], "is one of the files to read"),
    (["a.jsonl", "--predictions", "nowhere.jsonl"], "nowhere.jsonl: not found"),
    (["a.jsonl", "--predictions", "b.jsonl"], "b.jsonl:1: no id with scores"),
    (["a.jsonl", "--predictions", "predictions.jsonl"], "id '7' is in none of the files"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=lambda value: value if isinstance(value, str) else None
)
def test_a_mistake_is_one_message_and_nothing_is_written(folder, capsys, arguments, message):
    (folder / "empty.csv").touch()
    (folder / "mine.html").write_text("mine")
    (folder / "mine.json").write_text('{"mine": 1}')
    (folder / "folder.html").mkdir()
    write_predictions([Prediction("7", (1.0, 2.0))], folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert out == ""
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_overwrite_replaces_what_is_no_audit(folder):
    (folder / "mine.html").write_text("mine")
    assert main(["a.jsonl", "--html", "mine.html", "--overwrite"]) == 0
    assert "<svg" in (folder / "mine.html").read_text()


def test_predictions_of_some_questions_are_used_with_a_note(folder, capsys):
    write_predictions([Prediction("1", (1.0, 2.0))], folder)
    assert main(["a.jsonl", "--no_html", "--predictions", "predictions.jsonl"]) == 0
    assert "label errors: 1 answered questions without a prediction were skipped" in capsys.readouterr().out


def test_a_pattern_stands_for_the_files_that_match_it(folder, capsys):
    """--help promised patterns, and a quoted one was "not found"."""
    assert main(["[ab].jsonl", "--no_html", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [file["file"] for file in result["files"]] == ["a.jsonl", "b.jsonl"]
    assert result["repeats"]["leaks"][0]["texts"] == 1
    assert main(["*.jsonl", "--html", "b.jsonl"]) == 2
    assert "is one of the files to read" in capsys.readouterr().err
    assert main(["*.csv"]) == 2
    assert "no file matches" in capsys.readouterr().err


def test_a_file_is_given_once_however_it_is_to_be_read(folder, capsys):
    """The same file with a query behind its name was a leak of 60 questions."""
    assert main(["a.jsonl", "a.jsonl?answer_base=letter", "--no_html"]) == 2
    assert "given twice" in capsys.readouterr().err
    assert main(["a.jsonl?answer_base=letter", "--html", "a.jsonl"]) == 2
    assert "is one of the files to read" in capsys.readouterr().err


def test_files_that_were_predicted_as_one_data_set_fit_their_predictions(folder, capsys):
    """Rows without ids are counted on over the files of a data set, and began at 0 in each file of an audit."""
    (folder / "b.jsonl").write_text(json.dumps(ROW | {"prompt": "And fungi?"}))
    write_predictions([Prediction(str(row), (1.0, 0.0), 0) for row in range(3)], folder / "run")
    assert main(["a.jsonl", "b.jsonl", "--no_html", "--predictions", "run/predictions.jsonl"]) == 0
