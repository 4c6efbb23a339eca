"""CSV and TSV as programs write them: titles, comments, a line with the separator; and advice that is tried first."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.load import read_questions
from llmtuner.data.readers import csv_file, tsv_file
from llmtuner.errors import DataError

HEADER = "id,prompt,A,B,answer\n"
ROWS = '1,"W, or V?",a,b,A\n2,U?,c,d,B\n'


def write(path, text: str):
    path.write_text(text, encoding="utf-8", newline="")
    return path


def refusal(path) -> str:
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="train")
    return str(error.value)


@pytest.mark.parametrize(
    ("top", "what"),
    [
        ("Exam 2024,,,,\n", "a title"),
        ("Exam 2024\n", "a title"),
        ("Exam 2024,,,,\nby the faculty,,,,\n", "a title"),
        ("\nExam 2024\n\n", "a title"),
        ("# exported 2024\n", "a comment"),
        ("# exported 2024, from the server\n# version 2\n", "a comment"),
    ],
)
def test_lines_above_the_names_are_named_and_the_advice_reads(tmp_path, top, what):
    path = write(tmp_path / "exam.csv", top + HEADER + ROWS)
    message = refusal(path)
    assert f"is {what}, expected the names of the columns, which seem to be in line" in message
    lines = {int(number) for number in re.findall(r"\d+", message.split("delete ")[1])}
    remaining = [line for number, line in enumerate((top + HEADER + ROWS).split("\n"), start=1) if number not in lines]
    assert len(read_questions(write(path, "\n".join(remaining)), purpose="train").questions) == 2


def test_a_narrow_header_is_no_title(tmp_path):
    """A file with one column, or one whose rows are too short, has another defect."""
    assert "is a title" not in refusal(write(tmp_path / "exam.csv", "prompt\nW?\nV?\n"))
    assert "is a title" not in refusal(write(tmp_path / "exam.csv", "#,prompt,A\n1,W?,a\n"))


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_separator_that_the_file_declares(tmp_path, first, end):
    text = f"{first}\n" + (HEADER + ROWS).replace('"W, or V?"', "W, or V?").replace(",", ";").replace("; or", ", or")
    reading = read_questions(write(tmp_path / "exam.csv", text.replace("\n", end)), purpose="train")
    assert [(q.question, q.line) for q in reading.questions] == [("W, or V?", 3), ("U?", 4)]


def test_commas_may_be_declared_too(tmp_path):
    assert len(read_questions(write(tmp_path / "exam.csv", "sep=,\n" + HEADER + ROWS), purpose="train").questions) == 2


@pytest.mark.parametrize("separator", [";", "|"])
def test_the_advice_to_declare_a_separator_reads(tmp_path, separator):
    text = f"id{separator}prompt, text{separator}A{separator}B\n1{separator}W, or V?{separator}a{separator}b\n"
    message = refusal(write(tmp_path / "exam.csv", text))
    assert message.endswith(f"or write sep={separator} as its first line")
    table = csv_file.parse(f"sep={separator}\n{text}", "exam.csv")
    assert table.records == [(3, {"id": "1", "prompt, text": "W, or V?", "A": "a", "B": "b"})]


def test_the_advice_to_rename_a_file_with_tabs_reads(tmp_path):
    path = write(tmp_path / "exam.csv", "id\tprompt\tA\tB\tanswer\n1\tW, or V?\ta\tb\tA\n")
    assert refusal(path).endswith("or rename it to .tsv")
    assert read_questions(path.rename(tmp_path / "exam.tsv"), purpose="train").questions[0].question == "W, or V?"
    path = write(tmp_path / "other.tsv", HEADER + ROWS)
    assert refusal(path).endswith("rename it to .csv")


def test_no_rename_is_advised_that_fails(tmp_path):
    message = refusal(write(tmp_path / "exam.csv", 'id\tprompt\tA\tB\n1\t"open\ta\tb\n'))
    assert "the separator seems to be TAB" in message
    assert "rename it" not in message


def test_a_space_before_a_quote_is_named(tmp_path):
    """The advice was to put quotes around the text, which it has."""
    path = write(tmp_path / "exam.csv", HEADER + '1, "W, or V?", a,b,A\n')
    assert "remove the space before the opening quote" in refusal(path)
    path = write(path, path.read_text().replace(', "', ',"'))
    assert read_questions(path, purpose="train").questions[0].question == "W, or V?"


def test_a_comment_between_rows_is_named(tmp_path):
    assert "exam.csv:3: 1 field, the header has 5; delete the line, if it is a comment" in refusal(
        write(tmp_path / "exam.csv", HEADER + "1,W?,a,b,A\n# second part\n2,U?,c,d,B\n")
    )


MMLU = "Which gas: of these?,Oxygen,Neon,Argon,Helium,B\nWhat is it?,1,2,4,4,A\n"


def test_a_file_of_mmlu_is_read_by_position(tmp_path):
    """It has no line with names; its first question would be taken for one."""
    reading = read_questions(write(tmp_path / "exam.csv", MMLU), purpose="train")
    assert [(q.id, q.line, q.question, q.answer) for q in reading.questions] == [
        ("0", 1, "Which gas: of these?", 1),
        ("1", 2, "What is it?", 0),
    ]
    assert "no names of columns: read by position" in str(reading.warnings[0])


@pytest.mark.parametrize(
    "text",
    [
        "answer,prompt,A,B\nA,Which group?,A,B\n",  # all rows end with a letter, and the first one is a header
        "text,first,second,B\nW?,a,b,A\nV?,a,b,C\n",  # C is no option
        "text,first,second,Key\nW?,a,b,A\n",
    ],
)
def test_a_file_with_names_is_not_read_by_position(tmp_path, text):
    assert csv_file.parse(text, "exam.csv").columns == tuple(text.split("\n")[0].split(","))


CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)


@given(
    st.lists(st.lists(CELL, min_size=3, max_size=3).filter(lambda row: any(cell.strip() for cell in row)), max_size=5)
)
def test_a_tsv_file_gives_the_written_texts(rows):
    text = io.StringIO(newline="")
    csv.writer(text, delimiter="\t").writerows([["prompt", "A", "B"], *rows])
    table = tsv_file.parse(text.getvalue(), "exam.tsv")
    assert [list(record.values()) for _, record in table.records] == rows
    assert table.problems == []


def test_ids_without_names_are_not_read_as_questions(tmp_path):
    """The first option was the question, and the question the first option."""
    rows = "1,Which gas do plants take in?,Oxygen,Carbon dioxide,B\n2,Which gas lights signs?,Neon,Helium,A\n"
    assert "not a known multiple-choice form" in refusal(write(tmp_path / "exam.csv", rows))
    assert len(read_questions(write(tmp_path / "exam.csv", HEADER + rows), purpose="train").questions) == 2
