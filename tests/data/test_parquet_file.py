"""Parquet: column types, damaged files, and what is never loaded."""

from __future__ import annotations

import random
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmtuner.data.load import read_questions
from llmtuner.data.readers.parquet_file import read
from llmtuner.errors import DataError

KAGGLE = {"prompt": ["W?"], "A": ["a"], "B": ["b"], "answer": ["A"]}
SCIENCEQA = {"question": ["W?"], "choices": [["a", "b"]], "answer": [1], "hint": ["h"], "solution": ["It is b."]}


def write(path, columns):
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    "text", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
def test_every_way_to_store_text_is_text(tmp_path, text):
    """pandas writes categories; polars writes large strings or string views."""
    columns = {name: pa.array(values, text) for name, values in KAGGLE.items()}
    [question] = read_questions(write(tmp_path / "exam.parquet", columns), purpose="train").questions
    assert (question.options, question.answer) == (("a", "b"), 0)


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.large_list(pa.string()), pa.list_(pa.string(), 2)], ids=str)
def test_every_way_to_store_a_list_is_a_list(tmp_path, kind):
    columns = {**SCIENCEQA, "choices": pa.array([["a", "b"]], kind), "answer": pa.array([1], pa.uint8())}
    [question] = read_questions(write(tmp_path / "exam.parquet", columns), purpose="predict").questions
    assert (question.options, question.answer, question.context) == (("a", "b"), 1, "h")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({**KAGGLE, "prompt": [1]}, "column prompt must be text, found int64"),
        ({**KAGGLE, "answer": [1]}, "column answer must be text, found int64"),
        ({**KAGGLE, "id": [1.0]}, "column id must be text or whole number, found double"),
        ({**SCIENCEQA, "choices": ["a, b"]}, "column choices must be a list of texts, found string"),
    ],
)
def test_a_column_of_another_type_is_one_problem_not_one_a_row(tmp_path, columns, message):
    with pytest.raises(DataError) as error:
        read_questions(write(tmp_path / "exam.parquet", columns), purpose="predict")
    assert message in str(error.value)
    assert "problems" not in str(error.value)


def test_a_column_of_nothing_but_nulls_has_no_type(tmp_path):
    columns = {**SCIENCEQA, "answer": pa.nulls(1), "hint": pa.nulls(1)}
    reading = read_questions(write(tmp_path / "exam.parquet", columns), purpose="predict")
    assert not reading.labelled
    assert reading.questions[0].context == ""


def test_texts_and_numbers_are_loaded_and_images_are_not(tmp_path):
    """Images would fill the memory; a text of unknown name may be the passage."""
    image = pa.array([{"bytes": b"png", "path": "a.png"}])
    nested = [{"text": ["a", "b"], "label": ["A", "B"]}]
    columns = {"article": ["Once."], "score": [0.5], "easy": [True], "nested": nested, "none": pa.nulls(1)}
    table = read(write(tmp_path / "exam.parquet", {**columns, "photo": [b"png"], "image": image}))
    assert table.records == [
        (1, {"article": "Once.", "score": 0.5, "easy": True, "nested": nested[0], "none": None}),
    ]
    assert table.columns == ("article", "score", "easy", "nested", "none", "photo", "image")
    assert table.types["photo"] == ("not loaded", "binary")


def test_decimals_are_numbers_and_maps_are_objects(tmp_path):
    """Weights, probabilities and answers in columns of these types were left out in silence."""
    soft = {"probabilities": pa.array([[("A", 0.6), ("B", 0.4)]], pa.map_(pa.string(), pa.float64()))}
    soft["weight"] = pa.array([Decimal("2.5")], pa.decimal128(3, 1))
    [question] = read_questions(write(tmp_path / "soft.parquet", {**KAGGLE, **soft}), purpose="train").questions
    assert (question.probabilities, question.weight) == ((0.6, 0.4), 2.5)
    columns = {**SCIENCEQA, "answer": pa.array([Decimal(0)], pa.decimal128(2, 0))}
    columns["choices"] = pa.array([[("A", "a"), ("B", "b")]], pa.map_(pa.string(), pa.string()))
    [question] = read_questions(write(tmp_path / "exam.parquet", columns), purpose="train").questions
    assert (question.options, question.answer) == (("a", "b"), 0)


def test_a_map_with_a_key_twice_is_no_object(tmp_path):
    twice = pa.array([[("A", 0.1), ("A", 0.6), ("B", 0.4)]], pa.map_(pa.string(), pa.float64()))
    with pytest.raises(DataError, match="expected a number for each option"):
        read_questions(write(tmp_path / "exam.parquet", {**KAGGLE, "probabilities": twice}), purpose="train")


@pytest.mark.parametrize("column", ["prompt", "answer", "context", "weight", "id"])
def test_a_column_that_is_read_but_holds_no_text_is_a_defect(tmp_path, column):
    """Answers, contexts and weights of such a type were left out in silence."""
    path = write(tmp_path / "exam.parquet", {**KAGGLE, column: pa.array([b"A"], pa.binary())})
    for purpose in ("predict", "train"):
        with pytest.raises(DataError, match=f"column {column} must hold texts or numbers, found binary"):
            read_questions(path, purpose=purpose)


def test_a_possible_passage_that_holds_no_text_is_named(tmp_path):
    path = write(tmp_path / "exam.parquet", {**KAGGLE, "background": [b"png"], "photo": [b"png"]})
    [warning] = read_questions(path, purpose="train").warnings
    assert "'background' is not read as the context: its type is binary" in str(warning)


def test_rows_are_numbered_from_one_and_ids_are_text(tmp_path):
    columns = {**{name: values * 2 for name, values in KAGGLE.items()}, "id": [7, 8]}
    questions = read_questions(write(tmp_path / "exam.parquet", columns), purpose="train").questions
    assert [(question.id, question.line) for question in questions] == [("7", 1), ("8", 2)]


def test_a_column_twice(tmp_path):
    table = pa.table([["W?"], ["a"], ["x"], ["b"], ["A"]], names=["prompt", "A", "A", "B", "answer"])
    pq.write_table(table, tmp_path / "exam.parquet")
    with pytest.raises(DataError, match="column 'A' occurs twice"):
        read_questions(tmp_path / "exam.parquet", purpose="train")


def test_no_rows(tmp_path):
    empty = {name: pa.array([], pa.string()) for name in KAGGLE}
    with pytest.raises(DataError, match="no questions"):
        read_questions(write(tmp_path / "exam.parquet", empty), purpose="train")


def test_damage_anywhere_is_a_data_error_or_harmless(tmp_path):
    """A flipped byte can raise any of a dozen exceptions in pyarrow."""
    path = write(tmp_path / "exam.parquet", {name: values * 20 for name, values in SCIENCEQA.items()})
    intact, place = path.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(300):
        content = bytearray(intact)
        content[place.randrange(len(intact))] = place.randrange(256)
        path.write_bytes(content[: place.choice([len(intact), place.randrange(1, len(intact))])])
        try:
            read_questions(path, purpose="train")
        except DataError:
            refused += 1
    assert refused > 100
