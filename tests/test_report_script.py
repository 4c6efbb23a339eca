"""scripts/report.py: exit statuses, and files that it does not touch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from report_files import predictions, questions, write_questions, write_run
from support import load_script

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "report.py"


@pytest.fixture
def run(tmp_path) -> Path:
    return write_run(tmp_path / "run", predictions(questions(6)))


def report(*arguments) -> int:
    return load_script("report").main([str(argument) for argument in arguments])


def test_a_page_is_written_and_not_replaced_unless_asked(tmp_path, run, capsys):
    out = tmp_path / "report.html"
    questions_file = write_questions(tmp_path / "q.jsonl", questions(6))
    assert report(run, "--questions", questions_file, "--out", out) == 0
    assert "6 questions" in capsys.readouterr().out
    first = out.read_text(encoding="utf-8")
    assert report(run, "--out", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == first
    assert report(run, "--out", out, "--overwrite") == 0
    assert out.read_text(encoding="utf-8") != first
    assert {path.name for path in tmp_path.iterdir()} == {"run", "q.jsonl", "report.html"}, "nothing is left beside it"


def test_mistakes_end_with_status_2_and_write_nothing(tmp_path, run, capsys):
    out = tmp_path / "report.html"
    for arguments, message in (
        ([tmp_path / "missing", "--out", out], "no such folder"),
        ([run, "--out", tmp_path / "report.txt"], "must end in .html"),
        ([run, "--out", tmp_path / "none" / "report.html"], "does not exist"),
        ([run, "--out", out, "--questions", tmp_path / "missing.jsonl"], "missing.jsonl"),
        ([run, "--out", out, "--training", run], "neither"),
    ):
        assert report(*arguments) == 2
        assert message in capsys.readouterr().err
        assert not out.exists()
    with pytest.raises(SystemExit) as usage:
        report(run)
    assert usage.value.code == 2


@pytest.mark.subprocess
def test_help_and_a_report_need_no_torch(tmp_path, run):
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    for arguments in (["--help"], [str(run), "--out", str(tmp_path / "a.html")]):
        subprocess.run([sys.executable, "-c", code, str(SCRIPT), *arguments], check=True, capture_output=True)
