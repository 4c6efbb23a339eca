"""JSON and JSON Lines: strict objects, and the line of each defect."""

from __future__ import annotations

import json

import pytest

from llmtuner.data.load import read_questions
from llmtuner.errors import DataError

GOOD = {"prompt": "W?", "A": "a", "B": "b", "answer": "A"}


def refusal(path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="train")
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('[{"prompt": "W?",\n }]', ["exam.json:2:2: not JSON"]),
        ("[1,\n 2,]", ["exam.json:2:", "not JSON"]),
        ("[{'prompt': 'W?'}]", ["exam.json:1:3: not JSON", 'write " around names and texts']),
        ('[{"prompt": "W', ["not JSON", "Unterminated string"]),
        (json.dumps([GOOD])[:-1], ["exam.json:1:", "cut short"]),
        (json.dumps(GOOD) + "\n" + json.dumps(GOOD), ["exam.json:2:1: not JSON", "rename it to .jsonl"]),
        (
            json.dumps(GOOD),
            ["expected an array of objects", "found an object", "if it is one question, write [ ] around it"],
        ),
        (json.dumps([GOOD, 3]), ["exam.json:2: expected an object {...}, found a number: 3"]),
        ('[{"prompt": "a", "A": "a", "B": "b", "prompt": "b"}]', ["exam.json:1: key 'prompt' occurs twice"]),
        ("[" * 100_000 + "]" * 100_000, ["nested too deeply"]),
    ],
)
def test_broken_json_is_named_with_its_place(tmp_path, text, parts):
    message = refusal(tmp_path / "exam.json", text)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ('{"prompt": "W?",}', [":2:17: not JSON"]),
        ("[1, 2]", [":2: expected an object {...}, found an array: [1, 2]"]),
        ('"text"', ["found a text: 'text'"]),
        ("null", ["found null"]),
        ('{"A": "a", "A": "b"}', [":2: key 'A' occurs twice"]),
        # The last value was read in silence: an option less.
        ('{"prompt": "W?", "options": {"A": "a", "A": "b", "B": "c"}}', [":2: key 'options.A' occurs twice"]),
        ('{"A": ' + "[" * 100_000 + "]" * 100_000 + "}", [":2: not readable: brackets are nested too deeply"]),
        ('{"A": ' + "9" * 5000 + "}", [":2: not readable: a number has more digits than Python reads"]),
        ('{"A": "a\tb"}', [":2:9: not JSON"]),
    ],
)
def test_a_broken_line_is_named_and_the_others_are_still_checked(tmp_path, line, parts):
    text = f"{json.dumps(GOOD)}\n{line}\n\n{json.dumps({**GOOD, 'answer': 'C'})}\n"
    message = refusal(tmp_path / "exam.jsonl", text)
    for part in [*parts, "exam.jsonl:4: answer 'C'"]:
        assert part in message


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_by_the_name_of_jsonl(tmp_path, indent):
    """Read line by line, each of its lines is broken."""
    message = refusal(tmp_path / "exam.jsonl", json.dumps([GOOD, GOOD], indent=indent))
    assert "one JSON array" in message
    assert "rename it to .json" in message
    assert "problems" not in message


@pytest.mark.parametrize("gap", ["null", "absent"])
@pytest.mark.parametrize("rows", [3, 300])
def test_a_letter_that_a_record_lacks_is_a_blank_one(tmp_path, gap, rows):
    """Missing in one of 300 records, it is a defect: a question with fewer options would score too well."""
    short = {**GOOD, "C": None} if gap == "null" else GOOD
    path = tmp_path / "exam.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [short, *[{**GOOD, "C": "c"}] * (rows - 1)]))
    reading = read_questions(path, purpose="train")
    assert reading.questions[0].options == (("a", "b") if rows == 3 else ("a", "b", ""))
    [warning] = reading.warnings
    assert ("1 row with 2, 2 rows with 3" if rows == 3 else "option C is blank") in str(warning)


def test_lists_of_choices_are_ragged_and_never_trimmed(tmp_path):
    path = tmp_path / "exam.json"
    path.write_text(
        json.dumps(
            [{"query": "W?", "choices": ["a", "b", ""], "gold": 2}, {"query": "V?", "choices": ["a", "b"], "gold": 0}]
        )
    )
    reading = read_questions(path, purpose="train")
    assert [question.options for question in reading.questions] == [("a", "b", ""), ("a", "b")]
    assert [str(warning) for warning in reading.warnings] == [f"{path}:1: option C is blank"]


def test_line_ends_of_windows_and_of_unicode(tmp_path):
    path = tmp_path / "exam.jsonl"
    path.write_bytes(
        "".join(json.dumps({**GOOD, "A": "a\u2028\x85"}, ensure_ascii=False) + "\r\n" for _ in "12").encode()
    )
    assert [(q.options[0], q.line) for q in read_questions(path, purpose="train").questions] == [
        ("a\u2028\x85", 1),
        ("a\u2028\x85", 2),
    ]
