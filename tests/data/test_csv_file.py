"""CSV in detail: quotes, line numbers, and defects that the csv module ignores."""

from __future__ import annotations

import csv

import pytest

from llmtuner.data.load import read_questions
from llmtuner.data.readers.csv_file import read
from llmtuner.errors import DataError

HEADER = "id,prompt,A,B,answer\n"
ROW = "1,W?,a,b,A\n"


def refusal(tmp_path, text: str) -> str:
    path = tmp_path / "exam.csv"
    path.write_bytes(text.encode())
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="train")
    return str(error.value)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_an_open_quote_is_found_where_it_opens(tmp_path, end):
    """The row may begin several lines earlier, in a correctly quoted field."""
    text = HEADER + ROW + '2,"two\nlines",a,"b\nis open,A\n3,W?,a,b,A\n'
    assert "exam.csv:4: a quote opens here and never closes" in refusal(tmp_path, text.replace("\n", end))


def test_an_open_quote_that_a_later_quote_seems_to_close(tmp_path):
    """Two rows would become one, with a text that nobody wrote."""
    message = refusal(tmp_path, HEADER + ROW + '2,"open,a,b,A\n3,"W, or V?",a,b,A\n')
    assert "exam.csv:4: not CSV" in message
    assert "in the row from line 3" in message


def test_text_after_a_closing_quote_does_not_lose_its_quotes(tmp_path):
    """The csv module's default reads '"Ohm" is' as 'Ohm is'."""
    message = refusal(tmp_path, HEADER + ROW + '2,"Ohm" is,a,b,A\n')
    assert "exam.csv:3: not CSV: text follows a closing quote" in message
    assert 'twice: ""' in message


def test_problems_before_a_broken_quote_are_listed_too(tmp_path):
    message = refusal(tmp_path, HEADER + "1,W?,a,b\n" + "2,W?,a,b,C\n" + '3,"open,a,b,A\n')
    for part in ("3 problems", ":2: 4 fields", ":3: answer 'C'", ":4: a quote opens"):
        assert part in message


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator_is_seen_before_parsing(tmp_path, separator):
    """The csv module calls a header of quoted names broken CSV, which does not point to the separator."""
    header = separator.join(['"id"', '"prompt"', '"A"', '"B"', '"answer"'])
    assert "the separator seems to be" in refusal(tmp_path, f"\n{header}\n")


def test_blank_lines_are_skipped_and_counted(tmp_path):
    path = tmp_path / "exam.csv"
    path.write_text("\n" + HEADER + "\n  \n" + ROW + "\n2,V?,a,b,B")
    assert [(q.line, q.id) for q in read_questions(path, purpose="train").questions] == [(5, "1"), (7, "2")]


def test_quotes_within_an_unquoted_text_are_text(tmp_path):
    path = tmp_path / "exam.csv"
    path.write_text(HEADER + '1,The "Ohm" is,a,5" pipe,A\n')
    assert read_questions(path, purpose="train").questions[0].options[1] == '5" pipe'


def test_the_limit_of_the_csv_module_is_restored(tmp_path):
    """The limit is global to the process: 131,072 characters by default, too few for a long context."""
    before = csv.field_size_limit()
    path = tmp_path / "exam.csv"
    path.write_text(f"context,prompt,A,B,answer\n{'c' * 200_000},W?,a,b,A\n")
    assert len(read_questions(path, purpose="train").questions[0].context) == 200_000
    assert csv.field_size_limit() == before
    refusal(tmp_path, HEADER + '1,"open')
    assert csv.field_size_limit() == before


def test_the_index_of_pandas_has_no_name_and_is_no_id(tmp_path):
    path = tmp_path / "exam.csv"
    path.write_text(",prompt,A,B,answer\n17,W?,a,b,A\n")
    assert read(path).columns == ("prompt", "A", "B", "answer")
    assert read_questions(path, purpose="train").questions[0].id == "0"


def test_row_numbers_count_rows_not_lines(tmp_path):
    path = tmp_path / "exam.csv"
    path.write_text('prompt,A,B,answer\n"W\n?",a,b,A\n\nV?,a,b,A\n')
    assert [(q.id, q.line) for q in read_questions(path, purpose="train").questions] == [("0", 2), ("1", 5)]
