"""Messages: how they quote the data, and what a shortened list still shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.problems import (
    QUOTED,
    Problem,
    escaped,
    escaped_id,
    line_list,
    quoted,
    render_problems,
    terminal_path,
)
from llmtuner.data.question import Question
from llmtuner.data.tokens.fit import FitReport, Length


def test_a_problem_reads_as_place_what_expected_fix():
    assert str(Problem("a.csv", 3, "what", "expected", "fix", column=7)) == "a.csv:3:7: what; expected; fix"
    assert str(Problem("a.csv", 0, "what", fix="fix")) == "a.csv: what; fix"


def test_a_hundred_of_one_kind_do_not_hide_the_only_one_of_another():
    """The first twenty problems were all bad answers; the open quote at the end was only reported in the next run."""
    problems = [Problem("a.csv", line, "bad answer", kind="answer") for line in range(2, 102)]
    problems.append(Problem("a.csv", 200, "a quote opens here", kind="quote"))
    message = render_problems(problems)
    assert message.startswith("101 problems:\n")
    assert "a.csv:200: a quote opens here" in message
    assert message.endswith("and 81 more")
    listed = [int(line.split(":")[1]) for line in message.splitlines()[1:-1]]
    assert listed == sorted(listed)
    assert len(listed) == 20


def test_a_single_problem_is_a_single_line():
    assert render_problems([Problem("a.csv", 3, "what")]) == "a.csv:3: what"


@given(st.one_of(st.text(), st.lists(st.text()), st.integers(), st.dictionaries(st.text(), st.text())))
def test_quoted_data_is_short_and_printable(value):
    """A text with escape sequences can clear the screen, colour it, or set the window's title."""
    assert len(quoted(value)) <= QUOTED
    assert quoted(value).isprintable()


def test_a_quote_of_a_megabyte_is_shortened():
    assert quoted("x" * 10_000_000) == "'" + "x" * 56 + "..."


@pytest.mark.parametrize(
    ("path", "expected"), [("data/é 1.csv", "data/é 1.csv"), ("a\x1b[2J\u202e\n", "a\\x1b[2J\\u202e\\n")]
)
def test_a_file_name_is_printed_as_given_but_for_control_characters(path, expected):
    assert terminal_path(path) == expected


def test_lines_are_listed_and_then_counted():
    assert line_list([3]) == "line 3"
    assert line_list([3, 90], "row") == "rows 3, 90"
    assert line_list(range(1, 13)) == "lines 1, 2, 3, 4, 5 and 7 more"


FORGED = "7\x1b[2K\r\nerror: the disk is full"


def test_a_problem_is_one_line_whatever_its_parts_hold():
    """An id with a line break wrote a second line that began with "error:"."""
    text = str(Problem("a.csv", 3, f"id {FORGED}", f"expected {FORGED}", FORGED))
    assert text.isprintable()
    assert "\\x1b[2K\\r\\nerror: the disk is full" in text


def test_an_id_in_a_message_is_printable_and_short():
    question = Question(FORGED, "?", ("a", "b"))
    assert question.shown_id == "7\\x1b[2K\\r\\nerror: the disk is full"
    assert Question("007", "?", ("a", "b")).shown_id == "007"
    assert escaped_id("\x1b" * 10_000).isprintable()
    assert len(escaped_id("\x1b" * 10_000)) <= QUOTED
    report = FitReport([Length(0, "a.csv:3", FORGED, 0, 9)], 100)
    for line in (*report.lines(training=False), *report.refusal().split("\n")):
        assert line.isprintable()


def test_our_own_lines_keep_their_breaks():
    assert escaped("two\nlines\x1b[0m", keep="\n") == "two\nlines\\x1b[0m"
