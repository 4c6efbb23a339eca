"""Files that are rejected, and their messages. The most common ones go through the whole program in
tests/test_bad_input.py.
"""

from __future__ import annotations

import gzip
import json
import os

import pytest

from llmtuner.data.load import read_questions
from llmtuner.errors import DataError

HEADER = "id,prompt,A,B,C,D,E,answer\n"
ROW = "1,Which?,a,b,c,d,e,B\n"
GOOD = {"prompt": "W?", "A": "a", "B": "b", "answer": "A"}
CHOICES = {"query": "W?", "choices": ["a", "b"], "gold": 0}
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def lines(*records) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


# name, content, parts of the message
WRONG_CONTENT = [
    ("gz.csv", gzip.compress((HEADER + ROW).encode(), mtime=0), ["gzip archive, not CSV", "rename it to .csv.gz"]),
    ("empty.csv", gzip.compress(HEADER.encode(), mtime=0), ["as .csv.gz it is not readable either: it has no rows"]),
    ("workbook.csv", b"PK\x03\x04..xl/workbook.xml", ["an Excel workbook, not CSV; as .xlsx it is not readable"]),
    ("old.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ["Excel workbook"]),
    ("table.jsonl", b"PAR1....PAR1", ["Parquet file, not JSONL; as .parquet it is not readable either"]),
    ("page.jsonl", "\ufeff\n<HTML><body>403</body></HTML>", ["is a web page", "competition's rules"]),
    ("pointer.parquet", LFS, ["Git LFS pointer", "git lfs pull"]),
    ("text.parquet", HEADER + ROW, ["is not Parquet"]),
    ("utf16le.csv", (HEADER + ROW).encode("utf-16-le"), ["is UTF-16LE", "iconv -f UTF-16LE -t UTF-8"]),
    ("utf16be.csv", (HEADER + ROW).encode("utf-16-be"), ["is UTF-16BE"]),
    (
        "marked.csv",
        b"\xef\xbb\xbf" + HEADER.encode() + b"1,Gr\xfc\xdfe",
        ["marked.csv:2: ", "at byte 34 (0xfc)", "iconv"],
    ),
    (
        "cut.csv",
        (HEADER + "1,Café").encode()[:-1],
        ["cut.csv:2: ", "ends in the middle of a character", "download it again"],
    ),
    ("blank.csv", " \n\n", ["only white space"]),
    ("blank.jsonl", "\n\n", ["no questions"]),
    ("none.json", "[]", ["no questions"]),
    ("exam.txt", "a\tb\n", ["unknown file type '.txt'", ".csv, .tsv, .jsonl, .json, .parquet, .arrow, .xlsx"]),
    ("exam.ndjson", "{}\n", ["unknown file type '.ndjson'; rename it to .jsonl"]),
    ("exam", "a,b\n", ["unknown file type ''"]),
]

WRONG_COLUMNS = [
    ("typo.csv", "promt,A,B,anwser\nW?,a,b,A\n", ["typo.csv:1: ", "'prompt' (did you mean 'promt'?)", "'anwser'?"]),
    ("other.csv", "query,A,B,answer\nW?,a,b,A\n", ["missing column 'prompt' (did you mean 'query'?)"]),
    ("words.csv", "prompt,Option A,option_b,answer\nW?,a,b,A\n", ["'A' (did you mean 'Option A'?)", "'option_b'"]),
    ("lower.csv", "prompt,a,b,answer\nW?,a,b,A\n", ["unknown column 'a'; did you mean 'A'?", "did you mean 'B'?"]),
    ("last.csv", "prompt,A,B, C,answer\nW?,a,b,c,A\n", ["unknown column ' C'; did you mean 'C'?"]),
    ("ids.csv", "ID,prompt,A,B,answer\n7,W?,a,b,A\n", ["unknown column 'ID'; did you mean 'id'?"]),
    ("passage.csv", "Wikipedia Excerpt,prompt,A,B,answer\nc,W?,a,b,A\n", ["did you mean 'wikipedia_excerpt'?"]),
    ("eleven.csv", "prompt,A,B,C,D,E,F,G,H,I,J,K,answer\n" + "x," * 12 + "A\n", ["option column K", "at most 10"]),
    ("comma.csv", "prompt,A,B,answer,\nW?,a,b,A,\n", ["column 5 has no name", "extra comma"]),
    ("late.csv", "\n\n" + "id,A,B,answer\n1,a,b,A\n", ["late.csv:3: missing column 'prompt'"]),
    ("list.csv", "question,choices,answer\nW?,\"['a', 'b']\",0\n", ["form choices", "CSV holds text only", "JSONL"]),
    ("keys.jsonl", lines({"question": "W?", "Choices": ["a", "b"], "answer": 0}), ["did you mean 'choices'?"]),
    ("two.jsonl", lines(GOOD, CHOICES), ["forms kaggle and lm_eval in one file", "a file for each"]),
    (
        "nothing.csv",
        "a;b,c\n1,2\n",
        ["not a known multiple-choice form", "kaggle: prompt", "lm_eval: query", "choices: q"],
    ),
    ("no_gold.jsonl", lines({"query": "W?", "choices": ["a", "b"], "Gold": 0}), ["did you mean 'gold'?"]),
]

WRONG_ROWS = [
    ("commas.csv", HEADER + ROW + ",,,,,,,\n", ["commas.csv:3: every field is blank", "delete the line"]),
    ("one_field.csv", HEADER + ROW + "x\n", ["one_field.csv:3: 1 field, the header has 8"]),
    ("extra.csv", "prompt,A,B,answer\n" + "W?,a,b,c,A\n" * 2, ["every row has 5 fields", "name the extra column"]),
    ("id.csv", HEADER + ROW + ",W?,a,b,c,d,e,B\n", ["id.csv:3: the id is blank"]),
    ("id.jsonl", lines({**GOOD, "id": 1.5}, {**GOOD, "id": True}), ["id.jsonl:1: id must be text", "id.jsonl:2: "]),
    ("number.csv", HEADER + "1,W?,a,b,c,d,e,2\n", ["answer '2' is not one of A-E", "option's letter"]),
    ("digit.jsonl", lines({**GOOD, "answer": 1}), ["answer must be text, found int 1"]),
    ("word.jsonl", lines({**CHOICES, "gold": "one"}), ["whole number counted from 0, found 'one'"]),
    ("real.jsonl", lines({**CHOICES, "gold": 0.5}), ["whole number counted from 0, found 0.5"]),
    ("truth.jsonl", lines({**CHOICES, "gold": True}), ["whole number counted from 0, found True"]),
    ("minus.jsonl", lines({**CHOICES, "gold": -2}), ["gold -2 is outside the 2 options", "expected 0 to 1"]),
    ("from_one.jsonl", lines({**CHOICES, "gold": 2}), ["gold 2 is outside", "count from 0, not from 1"]),
    (
        "hub.jsonl",
        lines({**CHOICES, "choices": {"text": ["a"]}}),
        ["choices must be a list of texts, of objects", "found {'text': ['a']}"],
    ),
    (
        "item.jsonl",
        lines({**CHOICES, "choices": ["a", 3]}),
        ["choices[1] must be text, found int 3", "put it in quotes"],
    ),
    ("prompt.jsonl", lines({**GOOD, "prompt": ["W?"]}), ["prompt must be text, found list ['W?']"]),
    ("half.jsonl", '{"query": "W\\ud800?", "choices": ["a", "b"], "gold": 0}\n', ["half a character (\\ud800)"]),
    ("nul.jsonl", lines({**GOOD, "B": "b\0"}), ["column B contains a NUL character"]),
    ("long.jsonl", lines({**GOOD, "A": "x" * 1_000_001}), ["column A has 1,000,001 characters", "at most 1,000,000"]),
    ("long.csv", HEADER + f"1,W?,a,{'x' * 1_000_001},c,d,e,B\n", ["long.csv:2: column B has 1,000,001 characters"]),
    (
        "gone.jsonl",
        lines(GOOD, {**GOOD, "C": "c"}, {**GOOD, "answer": "C"}),
        ["gone.jsonl:3: answer C points to a blank"],
    ),
    ("unanswered.csv", HEADER + "1,W?,a,b,c,d,e,\n" * 3, ["column 'answer' is blank in all 3 rows"]),
]


@pytest.mark.parametrize(
    ("name", "content", "parts"), WRONG_CONTENT + WRONG_COLUMNS + WRONG_ROWS, ids=lambda value: str(value)[:20]
)
def test_a_bad_file_is_rejected(name, content, parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as error:
        read_questions(name, purpose="train")
    for part in [name, *parts]:
        assert part in str(error.value)
    assert len(str(error.value)) < 1500, "a message, not the file"


@pytest.mark.parametrize(("name", "content", "_parts"), WRONG_ROWS[:-2], ids=lambda value: str(value)[:20])
def test_prediction_rejects_what_training_rejects_but_for_answers_and_prompts(name, content, _parts, tmp_path):
    path = tmp_path / name
    path.write_bytes(content.encode())
    with pytest.raises(DataError):
        read_questions(path, purpose="predict")


def test_every_problem_of_a_row_is_listed(tmp_path):
    """A user who fixes one cell must not hit the next defect of the same row in the next run."""
    path = tmp_path / "exam.csv"
    path.write_text("id,prompt,A,B,answer\n=1+1,W\0?,a,b,C\n")
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="train")
    for part in ("3 problems", "formula", "NUL", "answer 'C' is not one of A-B"):
        assert part in str(error.value)


def test_problems_of_columns_and_rows_are_listed_together(tmp_path):
    path = tmp_path / "exam.csv"
    path.write_text("promt,A,B,answer\nW?,a,b\n")
    with pytest.raises(DataError, match=r"(?s)2 problems.*missing column 'prompt'.*exam.csv:2: 3 fields"):
        read_questions(path, purpose="train")


def test_other_single_letters_are_other_columns(tmp_path):
    """A column X beside A and B is not an option after a gap, and i is not option I."""
    path = tmp_path / "exam.csv"
    path.write_text("i,prompt,A,B,X,answer\n0,W?,a,b,x,A\n")
    assert read_questions(path, purpose="train").questions[0].options == ("a", "b")


def test_two_contexts_in_a_row_are_warned_of(tmp_path):
    path = tmp_path / "exam.csv"
    path.write_text("hint,context,prompt,A,B,answer\nh,c,W?,a,b,A\nh,,W?,a,b,A\n")
    reading = read_questions(path, purpose="train")
    assert [question.context for question in reading.questions] == ["c", "h"]
    assert [str(warning).count("'hint' is not used") for warning in reading.warnings] == [1]


# Files that cannot be opened.


def refusal(path) -> str:
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="predict")
    return str(error.value)


def test_similar_names_are_suggested_for_a_missing_file(tmp_path):
    """If whole names are compared, every .csv file is similar to every other."""
    for name in ("train.csv", "test.parquet", "sample_submission.csv"):
        (tmp_path / name).write_text("x")
    assert "did you mean train.csv?" in refusal(tmp_path / "trian.csv")
    assert "did you mean test.parquet?" in refusal(tmp_path / "test.csv")
    assert "did you mean" not in refusal(tmp_path / "quiz.csv")
    assert f"the folder {tmp_path}{os.sep}nowhere does not exist" in refusal(tmp_path / "nowhere" / "train.csv")


def test_a_folder_is_no_file_whatever_its_name(tmp_path):
    (tmp_path / "exam.csv").mkdir()
    assert "is a folder (directory) without data files" in refusal(tmp_path / "exam.csv")
    assert "is a folder (directory) without data files" in refusal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_rejected_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    assert "not a regular file" in refusal(tmp_path / "pipe.csv")


@pytest.mark.parametrize("name", ["x" * 300 + ".csv", "a\0b.csv"])
def test_an_impossible_name_is_no_traceback(tmp_path, name):
    assert "cannot be read" in refusal(tmp_path / name)


def test_a_link_to_itself_is_no_traceback(tmp_path):
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    assert "cannot be read" in refusal(tmp_path / "loop.csv")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "exam.csv"
    path.write_text(HEADER + ROW)

    def forbidden(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", forbidden)  # root may read files that others may not
    assert "cannot be read: Permission denied" in refusal(path)


def test_a_name_cannot_move_the_cursor(tmp_path):
    (tmp_path / "\x1b[2J.csv").write_text(HEADER)
    assert "\\x1b[2J.csv: has a header but no questions" in refusal(tmp_path / "\x1b[2J.csv")


def test_what_is_written_beside_a_context_is_no_context(tmp_path):
    """A training on the file of add_context.py was advised to take the ids of the passages as the context."""
    row = {**GOOD, "context_ids": ["a long name of a document#1"] * 5, "context_scores": [1.0] * 5}
    path = tmp_path / "open.jsonl"
    path.write_text(lines({**row, "context": "c"}))
    assert read_questions(path, purpose="train").warnings == ()
    path.write_text(lines(row))
    [warning] = read_questions(path, purpose="train").warnings
    assert "'context_ids' is not used" in str(warning)
