r"""LaTeX in JSON with one backslash: \frac, \beta and \rho lose a letter, and \sigma is no JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.load import read_questions
from llmtuner.data.readers.jsonl_file import parse
from llmtuner.errors import DataError

NAMES = "frac forall flat beta bar begin big rho right rangle theta times tau text{x} tan to nu nabla neq ne notin"


def line(text: str) -> str:
    """A line of JSONL in which the text stands as it is, so that its backslashes are JSON's."""
    return f'{{"prompt": "W?", "A": "{text}", "B": "b", "answer": "A"}}'


@pytest.mark.parametrize("name", NAMES.split())
@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_a_command_with_one_backslash_is_named_and_the_advice_is_right(tmp_path, name, suffix):
    path = tmp_path / f"exam{suffix}"
    text = line("none") + "\n" + line(f"$x \\{name} y$") + "\n"
    path.write_text(text if suffix == ".jsonl" else "[" + ",".join(text.splitlines()) + "]")
    [warning] = read_questions(path, purpose="train").warnings
    letters = name.partition("{")[0]
    assert warning.line == 2
    assert f"the command \\{letters} has lost its backslash" in str(warning)
    assert f"write it twice: \\\\{letters}" in str(warning)
    path.write_text(path.read_text().replace("\\", "\\\\"))
    reading = read_questions(path, purpose="train")
    assert (reading.warnings, reading.questions[1].options[0]) == ((), f"$x \\{name} y$")


@pytest.mark.parametrize(
    "text",
    [
        "$\\\\frac{1}{2}$ and $\\\\beta$",  # written as it should be
        "$\\\\\\\\rho$",
        "in steps:\\n\\t1. heat\\n\\t2. stir",
        "one\\ntwo\\n\\nend",
        "a table:\\tan apple\\top",
        "first line\\r\\nright after it",
        "given:\\nu = 5 m/s\\ne = 3",
        "costs $5\\nnot more",
        '\\u03b2 \\/ \\" \\\\',
        "page one\\fPage two",
    ],
)
def test_other_line_breaks_and_tabs_are_text(text):
    table = parse(line(text), "exam.jsonl")
    assert (table.warnings, table.problems) == ([], [])


@pytest.mark.parametrize("command", ["sigma", "upsilon", "Delta", "{"])
def test_a_backslash_that_is_no_json_is_doubled(tmp_path, command):
    path = tmp_path / "exam.jsonl"
    path.write_text(line(f"$\\{command}$") + "\n" + line("fine") + "\n")
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="train")
    shown = command if command.isalpha() else ""
    assert "exam.jsonl:1:2" in str(error.value)
    assert f"write each backslash of a text twice: \\\\{shown}" in str(error.value)
    path.write_text(path.read_text().replace("\\", "\\\\"))
    assert read_questions(path, purpose="train").questions[0].options[0] == f"$\\{command}$"


def test_a_list_of_options_is_searched_too():
    table = parse('{"query": "W?", "choices": ["a", {"text": "$\\frac{1}{2}$"}], "gold": 0}', "exam.jsonl")
    [warning] = table.warnings
    assert "column choices has a form feed before 'rac'" in str(warning)


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
def test_a_text_without_control_characters_never_warns(text):
    """Whatever a JSON writer escapes."""
    clean = "".join(char for char in text if char >= " ") + "\\frac \\beta \\rho \\theta \\nu"
    assert parse(json.dumps({"prompt": clean}), "exam.jsonl").warnings == []
