"""Consoles that cannot show every character: no run and no script ends because of what it prints."""

from __future__ import annotations

import io
import re
import sys

import pytest
from support import ROOT, load_script

from llmtuner.cli.main import main
from llmtuner.console import escape_unprintable

TEXT = "植物吸收 → 🤗 naïve"
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))


@pytest.fixture
def console(monkeypatch):
    """Replace stdout and stderr by a console in an encoding; return what reads its output."""

    def of(encoding: str):
        streams = {
            name: io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for name in ("stdout", "stderr")
        }
        for name, stream in streams.items():
            monkeypatch.setattr(sys, name, stream)

        def output() -> str:
            for stream in streams.values():
                stream.flush()
            return "".join(stream.buffer.getvalue().decode(encoding) for stream in streams.values())

        return output

    return of


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("gbk", "植物吸收 → \\U0001f917 na\\xefve"),
        ("cp1252", "\\u690d\\u7269\\u5438\\u6536 \\u2192 \\U0001f917 naïve"),
        ("ascii", "\\u690d\\u7269\\u5438\\u6536 \\u2192 \\U0001f917 na\\xefve"),
        ("utf-8", TEXT),
    ],
)
def test_what_a_console_lacks_is_escaped(encoding, shown, console):
    output = console(encoding)
    escape_unprintable()
    print(TEXT)
    print(TEXT, file=sys.stderr)
    assert output() == f"{shown}\n" * 2


def test_a_stream_that_takes_everything_is_left_alone(monkeypatch):
    """A notebook's stream has no `reconfigure`."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    escape_unprintable()
    print(TEXT)
    assert stream.getvalue() == f"{TEXT}\n"


@pytest.mark.parametrize("stage", ["sft", "mcq"])
def test_a_training_prints_its_questions_on_any_console(stage, tiny_llama, tmp_path, console):
    """Upstream prints the first training example: UnicodeEncodeError, after the data had been read."""
    rows = [f"{number},{TEXT},{TEXT} a,b,A\n" for number in range(2)]
    (tmp_path / "rows.csv").write_text("id,prompt,A,B,answer\n" + "".join(rows), encoding="utf-8")
    output = console("ascii")
    words = ["--stage", stage, "--model_name_or_path", str(tiny_llama), "--template", "default", "--do_train"]
    words += ["--dataset", str(tmp_path / "rows.csv"), "--max_steps", "1", "--output_dir", str(tmp_path / "out")]
    assert main(words) == 0
    assert (stage == "mcq") or "\\u690d" in output()


def test_an_error_message_is_shown_on_any_console(tmp_path, console):
    output = console("cp1252")
    assert main(["--do_train", "--dataset", "题目.csv", "--output_dir", str(tmp_path / "→")]) == 2
    assert "\\u9898\\u76ee.csv" in output()


def test_the_audit_is_shown_on_any_console(tmp_path, console):
    (tmp_path / "题目.csv").write_text(f"id,prompt,A,B,answer\n1,{TEXT},a,b,A\n", encoding="utf-8")
    output = console("ascii")
    assert load_script("audit_mcq").main([str(tmp_path / "题目.csv"), "--no_html", "--no_near"]) == 0
    assert "\\u9898\\u76ee.csv" in output()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_script_escapes_before_it_prints(path):
    source = path.read_text(encoding="utf-8")
    body = source.partition("\ndef main(")[2]
    if path.name == "merge_mcq.py":  # runs merge.py, under its earlier name
        assert "import main" in source
        return
    first = re.search(r"print\(|parse_args\(", body)
    assert "escape_unprintable()" in body[: first.start()]
