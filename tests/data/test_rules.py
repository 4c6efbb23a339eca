"""Rules for a whole file: fewer options, repeated ids, loosely written answers; for both purposes."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmtuner.data import load
from llmtuner.data.audit.quality import quality
from llmtuner.data.forms.rules import MIXED_PERCENT
from llmtuner.data.load import inspect_questions, read_questions
from llmtuner.errors import DataError

FULL, SHORT = "W?,a,b,c,A\n", "W?,a,b,,A\n"


def write(tmp_path, *rows: str, header: str = "prompt,A,B,C,answer\n") -> Path:
    path = tmp_path / "exam.csv"
    path.write_text(header + "".join(rows))
    return path


@pytest.mark.parametrize(
    ("short", "rows", "trimmed"), [(1, 100, True), (2, 200, True), (1, 101, False), (7, 700, True)]
)
def test_fewer_options_begin_at_one_row_in_a_hundred(tmp_path, short, rows, trimmed):
    assert MIXED_PERCENT == 1
    path = write(tmp_path, *[SHORT] * short, *[FULL] * (rows - short))
    reading = read_questions(path, purpose="train")
    assert len(reading.questions[0].options) == (2 if trimmed else 3)
    assert len(reading.warnings) == (1 if trimmed else short)


def test_only_the_end_of_the_options_is_trimmed(tmp_path):
    path = write(tmp_path, "W?,a,,,D,e,A\n", header="prompt,A,B,C,D,E,answer\n")
    reading = read_questions(path, purpose="train")
    assert reading.questions[0].options == ("a", "", "", "D", "e")
    assert [warning.what for warning in reading.warnings] == ["option B is blank", "option C is blank"]


def test_a_row_with_a_single_text_keeps_two_options(tmp_path):
    """A test file must always give a complete submission; the blank option gets a warning."""
    reading = read_questions(write(tmp_path, "W?,a,,,A\n", FULL), purpose="predict")
    assert reading.questions[0].options == ("a", "")
    assert "option B is blank" in [warning.what for warning in reading.warnings]


def test_equal_but_for_blanks_around_is_equal(tmp_path):
    [warning] = read_questions(write(tmp_path, "W?,a, a ,c,A\n"), purpose="train").warnings
    assert warning.what == "options A and B are equal: 'a'"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("A) 4.50,B) 4.55,C) 4.50", "options A and C are equal behind their own letters: '4.50'"),
        ("iron,ir\u200bon,tin", "options A and B are equal apart from white space, invisible characters or"),
        ("ｉｒｏｎ,tin,iron", "options A and C are equal apart from white space, invisible characters or"),
        ("a b,a  b,c", "options A and B are equal apart from white space, invisible characters or"),
        ("iron,\u200b,tin", "option B is blank"),
    ],
)
def test_equal_options_are_named_as_the_audit_names_them(tmp_path, options, message):
    """The reader compared only texts without blanks around them, and so saw fewer equal options than the audit."""
    reading = read_questions(write(tmp_path, f"Which of these is it?,{options},A\n"), purpose="train")
    [warning] = reading.warnings
    assert warning.what.startswith(message)
    assert quality(reading.questions[0]).reasons[0] == warning.kind


def test_options_that_differ_give_no_warning(tmp_path):
    rows = ["W?,10²,10₂,102,A\n", "W?,E. coli,B. coli,coli,A\n", "W?,AA,Aa,aa,A\n", "W?,(A) only,(B) only,both,A\n"]
    assert read_questions(write(tmp_path, *rows), purpose="train").warnings == ()


def test_many_loose_answers_are_one_warning(tmp_path):
    """Otherwise a file with lower-case answers would give one warning per row."""
    reading = read_questions(write(tmp_path, FULL, *["W?,a,b,c,b\n"] * 300), purpose="train")
    assert {question.answer for question in reading.questions[1:]} == {1}
    [warning] = reading.warnings
    assert warning.line == 3
    assert "lines 3, 4, 5, 6, 7 and 295 more" in str(warning)


def test_ids_count_records_not_lines(tmp_path):
    """A submission's ids are row numbers: if a blank line counts, every later row is scored as another question."""
    path = tmp_path / "exam.jsonl"
    path.write_text('{"query": "", "choices": ["a", "b"]}\n\n{"query": "V?", "choices": ["a", "b"]}\n')
    assert [(q.id, q.line) for q in read_questions(path, purpose="predict").questions] == [("0", 1), ("1", 3)]


def test_both_purposes_share_one_reading(tmp_path, monkeypatch):
    path = write(tmp_path, FULL, "W?,a,b,c,\n", ",a,b,c,A\n")
    reading = read_questions(path, purpose="predict")
    monkeypatch.setattr(load, "read_table", None)
    assert read_questions(path, purpose="predict").questions is reading.questions
    with pytest.raises(DataError, match=r"(?s)exam.csv:3: no answer.*exam.csv:4: the question has no text"):
        read_questions(path, purpose="train")


def test_an_inspection_continues_where_a_training_stops(tmp_path):
    path = write(tmp_path, FULL, "W?,a,b,c,\n", ",a,b,c,A\n", "W?,a,b,c,X\n", "W?,a,a,c,A\n")
    reading = inspect_questions(path)
    assert [question.line for question in reading.questions] == [2, 3, 4, 6]
    assert [problem.line for problem in reading.errors] == [3, 4, 5]
    assert [problem.line for problem in reading.warnings] == [6]
    with pytest.raises(DataError) as refused:
        read_questions(path, purpose="train")
    assert all(str(problem) in str(refused.value) for problem in reading.errors)


def test_a_test_file_may_be_inspected_without_answers(tmp_path):
    assert inspect_questions(write(tmp_path, "W?,a,b,c,\n", "V?,a,b,c,\n")).errors == ()


def test_a_relative_path_is_another_file_in_another_folder(tmp_path, monkeypatch):
    """Two files of the same size, written at the same moment: only their folders tell them apart."""
    for folder, prompt in (("one", "W?"), ("two", "V?")):
        (tmp_path / folder).mkdir()
        path = write(tmp_path / folder, FULL.replace("W?", prompt))
        os.utime(path, ns=(10**18, 10**18))
        monkeypatch.chdir(tmp_path / folder)
        assert read_questions("exam.csv", purpose="train").questions[0].question == prompt


def test_the_garbage_collector_runs_again_after_a_file_that_is_refused(tmp_path):
    """Without a limit, the memory of a long training would keep growing."""
    with pytest.raises(DataError):
        read_questions(write(tmp_path, "W?,a\n"), purpose="train")
    assert gc.isenabled()


def test_the_name_of_the_data_set_goes_with_the_questions(tmp_path):
    path = write(tmp_path, FULL)
    assert [read_questions(path, purpose="train", dataset=name).questions[0].dataset for name in "ab"] == ["a", "b"]


@pytest.mark.real_data
def test_the_context_of_scienceqa_is_hint_and_lecture_and_never_the_solution(real_data):
    import pyarrow.parquet as pq

    path = real_data / "scienceqa" / "train.parquet"
    rows = pq.read_table(path).to_pylist()
    questions = read_questions(path, purpose="train").questions
    for question, row in zip(questions, rows, strict=True):
        assert question.context == "\n".join(text for text in (row["hint"], row["lecture"]) if text.strip())
        assert question.answer == row["answer"]
        texts = (row["hint"], row["lecture"])
        assert not row["solution"].strip() or row["solution"] in texts or row["solution"] not in question.context
    assert sum(bool(row["solution"].strip()) for row in rows) > 5000, "there are solutions to leave out"


@pytest.mark.subprocess
def test_reading_csv_imports_nothing_heavy(tmp_path):
    path = write(tmp_path, FULL)
    program = (
        "import sys; from llmtuner.data import *; read_questions(sys.argv[1], purpose='train'); "
        "print(sorted({'torch', 'transformers', 'datasets', 'pandas', 'pyarrow', 'numpy'} & set(sys.modules)))"
    )
    src = Path(__file__).resolve().parents[2] / "src"
    process = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, cwd=src, check=True
    )
    assert process.stdout.strip() == "[]"
