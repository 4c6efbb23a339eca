"""Tables in one JSON value: what pandas and data set servers write, and what is not one table."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.load import inspect_questions, read_questions
from llmtuner.data.readers.json_file import parse
from llmtuner.errors import DataError

ROWS = [
    {"prompt": "W?", "A": "a", "B": "b", "answer": "A"},
    {"prompt": "V?", "A": "c", "B": "d", "answer": "B"},
    {"prompt": "U?", "A": "e", "B": "f", "answer": "A"},
]
COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}
PAGE = [{"row_idx": number, "row": row, "truncated_cells": []} for number, row in enumerate(ROWS)]
SHAPES = {
    "array": ROWS,
    "columns of pandas": {name: {str(row): cell for row, cell in enumerate(cells)} for name, cells in COLUMNS.items()},
    "columns of a selection": {name: {"7": cells[0], "2": cells[1], "9": cells[2]} for name, cells in COLUMNS.items()},
    "lists": COLUMNS,
    "numbered rows": {str(number): row for number, row in enumerate(ROWS)},
    "split": {"columns": list(COLUMNS), "index": [0, 1, 2], "data": [list(row.values()) for row in ROWS]},
    "wrapped": {"data": ROWS},
    "wrapped with a version": {"version": "1.1", "data": ROWS, "license": {"name": "MIT"}},
    "server": {"features": [], "rows": PAGE, "num_rows_total": 3, "partial": False},
}
SHAPES["server"].pop("features")


def write(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def refusal(path) -> str:
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="train")
    return str(error.value)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_rows(tmp_path, shape):
    table = parse(json.dumps(SHAPES[shape]), "exam.json")
    assert table.records == list(enumerate(ROWS, start=1))
    assert table.unit == "row"


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ({"data": ROWS}, ["the rows are those of the key 'data'"]),
        ({"version": 1, "exam": ROWS}, ["key 'exam'; 'version' is not read"]),
        ({**SHAPES["server"], "num_rows_total": 1119}, ["3 rows of 1,119"]),
    ],
)
def test_what_was_read_of_an_object_is_named(tmp_path, value, parts):
    [warning] = read_questions(write(tmp_path / "exam.json", value), purpose="train").warnings
    for part in parts:
        assert part in str(warning)


def test_columns_whose_cells_are_objects(tmp_path):
    """choices of the hub's ARC: the one list of objects is a column, not the table."""
    value = {"question": ["W?", "V?"], "choices": [{"text": ["a", "b"]}, {"text": ["c", "d"]}]}
    records = parse(json.dumps(value), "exam.json").records
    assert [record["question"] for _, record in records] == ["W?", "V?"]
    assert records[1][1]["choices"] == {"text": ["c", "d"]}


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ({"train": ROWS, "test": ROWS}, ["holds several tables, 'train', 'test'", "each in its own file"]),
        ({"prompt": ["W?", "V?"], "A": ["a"]}, ["different numbers of rows: 'prompt' 2, 'A' 1"]),
        ({"q1": ROWS[0], "q2": ROWS[1]}, ["found an object with the keys 'q1', 'q2'", "as an array"]),
        (
            {"article": "Once.", "questions": ["W?", "V?"], "options": [["a"], ["b"]]},
            ["'article', 'questions', 'options'", "an object for each question"],
        ),
        (ROWS[0], ["if it is one question, write [ ] around it"]),
        ({}, ["the keys (none)"]),
        (3, ["found a number; write the rows as an array"]),
        (
            {"rows": [*PAGE[:2], {**PAGE[2], "truncated_cells": ["prompt"]}]},
            [":3: the data set server cut off cells of 1 rows"],
        ),
        ('{"data": [{"prompt": "W?"}], "data": []}', ["key 'data' occurs twice"]),
    ],
)
def test_what_is_no_table_is_named(tmp_path, value, parts):
    message = refusal(write(tmp_path / "exam.json", value))
    for part in parts:
        assert part in message


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("shape", ["lines", "array", "columns", "nested"])
def test_a_missing_cell_is_named_as_such(tmp_path, word, shape):
    """The advice was to put NaN in quotes, which made an option "NaN"."""
    value = {"lines": None, "array": ROWS, "columns": COLUMNS, "nested": [{**ROWS[0], "A": ["a", "gap"]}]}[shape]
    if shape == "lines":
        path = write(tmp_path / "exam.jsonl", "\n".join(map(json.dumps, ROWS)).replace('"d"', word))
    else:
        text = json.dumps(value).replace('"gap"', word) if shape == "nested" else json.dumps(value).replace('"d"', word)
        path = write(tmp_path / "exam.json", text)
    message = refusal(path)
    place = ":1: column A[1]" if shape == "nested" else ":2: column B"
    assert f"{place} is {word}: a missing cell, which JSON writes as null" in message
    assert "quotes" not in message
    assert "null in place of" in message


def test_the_advice_for_a_missing_cell_reads(tmp_path):
    row = {**ROWS[0], "C": None}
    path = write(tmp_path / "exam.jsonl", (json.dumps(row) + "\n") * 2)
    assert read_questions(path, purpose="train").questions[0].options == ("a", "b")


def test_lines_by_the_name_of_json_read_after_the_advice(tmp_path):
    path = write(tmp_path / "exam.json", "".join(json.dumps(row) + "\n" for row in ROWS))
    assert refusal(path).endswith("rename it to .jsonl")
    assert len(read_questions(path.rename(tmp_path / "exam.jsonl"), purpose="train").questions) == 3


def test_no_rename_is_advised_that_fails(tmp_path):
    """Values one after another that are no lines of JSONL, and an object that is no table."""
    assert ".jsonl" not in refusal(write(tmp_path / "exam.json", "[1]\n[2]\n")).replace(str(tmp_path), "")
    pretty = "".join(json.dumps(row, indent=1) + "\n" for row in ROWS)
    assert "rename it" not in refusal(write(tmp_path / "exam.json", pretty))
    message = refusal(write(tmp_path / "exam.jsonl", json.dumps(ROWS[0], indent=1)))
    assert "one JSON object over several lines" in message
    assert "rename it" not in message
    assert "jq -c ." in refusal(write(tmp_path / "exam.jsonl", pretty))


@pytest.mark.parametrize("shape", ["columns of pandas", "wrapped", "split"])
def test_a_table_by_the_name_of_jsonl_reads_after_the_advice(tmp_path, shape):
    path = write(tmp_path / "exam.jsonl", json.dumps(SHAPES[shape], indent=1))
    assert refusal(path).endswith("rename it to .json")
    assert len(read_questions(path.rename(tmp_path / "exam.json"), purpose="train").questions) == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["0", "1", "data", "rows", "row", "row_idx", "columns", "prompt"]), inner)
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_value_is_a_table_or_a_data_error(value):
    try:
        records = parse(json.dumps(value), "exam.json").records
    except DataError:
        records = []
    assert all(isinstance(record, dict) for _, record in records)


CELL = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)


@given(st.lists(st.fixed_dictionaries({"prompt": CELL, "A": CELL, "B": CELL}), min_size=1, max_size=6))
def test_what_pandas_writes_is_read_alike_in_every_orientation(rows):
    import pandas as pd

    frame = pd.DataFrame(rows)
    for orient in ("records", "columns", "index", "split"):
        assert [record for _, record in parse(frame.to_json(orient=orient), "exam.json").records] == rows


def test_a_json_file_is_inspected_with_its_notices(tmp_path):
    reading = inspect_questions(write(tmp_path / "exam.json", {"data": ROWS}))
    assert [warning.kind for warning in reading.warnings] == ["wrapped"]


def test_a_page_of_the_data_set_server_as_it_comes(tmp_path):
    """Its `features` were taken for a second table."""
    features = [{"feature_idx": 0, "name": "prompt", "type": {"dtype": "string"}}]
    rows = [{"row_idx": 0, "row": {"prompt": "Q?", "A": "a", "B": "b", "answer": "B"}, "truncated_cells": []}]
    path = tmp_path / "page.json"
    path.write_text(json.dumps({"features": features, "rows": rows, "num_rows_total": 1, "partial": False}))
    assert read_questions(path, purpose="train").questions[0].answer == 1


@pytest.mark.parametrize(("keys", "ids"), [(["12", "7"], ["12", "7"]), (["0", "1"], ["0", "1"])])
def test_the_keys_of_numbered_rows_are_their_ids(tmp_path, keys, ids):
    """ScienceQA's problems.json has the ids as keys; row numbers took their place."""
    row = {"prompt": "Q?", "A": "a", "B": "b", "answer": "B"}
    path = tmp_path / "problems.json"
    path.write_text(json.dumps(dict.fromkeys(keys, row)))
    assert [question.id for question in read_questions(path, purpose="train").questions] == ids
