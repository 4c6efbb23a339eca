"""Messages: what they show of the data, and what a list cut short leaves out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.problems import QUOTED, Problem, line_list, render_problems, shown, terminal_path


def test_a_problem_reads_as_place_what_expected_fix():
    assert str(Problem("a.csv", 3, "what", "expected", "fix", column=7)) == "a.csv:3:7: what; expected; fix"
    assert str(Problem("a.csv", 0, "what", fix="fix")) == "a.csv: what; fix"


def test_a_hundred_of_one_kind_do_not_hide_the_one_of_another():
    """The first twenty by line were twenty bad answers; the open quote at the end came up in the next run."""
    problems = [Problem("a.csv", line, "bad answer", kind="answer") for line in range(2, 102)]
    problems.append(Problem("a.csv", 200, "a quote opens here", kind="quote"))
    said = render_problems(problems)
    assert said.startswith("101 problems:\n")
    assert "a.csv:200: a quote opens here" in said
    assert said.endswith("and 81 more")
    places = [int(line.split(":")[1]) for line in said.splitlines()[1:-1]]
    assert places == sorted(places)
    assert len(places) == 20


def test_a_single_problem_is_a_single_line():
    assert render_problems([Problem("a.csv", 3, "what")]) == "a.csv:3: what"


@given(st.one_of(st.text(), st.lists(st.text()), st.integers(), st.dictionaries(st.text(), st.text())))
def test_shown_data_is_short_and_printable(value):
    """A text with escape sequences can clear the screen, colour it, or set the window's title."""
    assert len(shown(value)) <= QUOTED
    assert shown(value).isprintable()


def test_shown_does_not_take_its_time_for_a_megabyte():
    assert shown("x" * 10_000_000) == "'" + "x" * 56 + "..."


@pytest.mark.parametrize(
    ("path", "said"), [("data/é 1.csv", "data/é 1.csv"), ("a\x1b[2J\u202e\n", "a\\x1b[2J\\u202e\\n")]
)
def test_a_file_name_is_shown_as_given_unless_it_would_act(path, said):
    assert terminal_path(path) == said


def test_lines_are_listed_and_then_counted():
    assert line_list([3]) == "line 3"
    assert line_list([3, 90], "row") == "rows 3, 90"
    assert line_list(range(1, 13)) == "lines 1, 2, 3, 4, 5 and 7 more"
