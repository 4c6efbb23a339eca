"""The columns `probabilities` and `weight`: every file type, what is refused and where, and what stands in for them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmtuner.data.load import read_questions
from llmtuner.data.read_as import AS_IT_IS, merged_query
from llmtuner.errors import DataError

ROW = {"id": "7", "prompt": "Which?", "A": "x", "B": "y", "C": "z", "answer": "B"}
SOFT = {"A": 0.7, "B": 0.2, "C": 0.1}


def jsonl(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(ROW | {"id": str(row)} | more) + "\n" for row, more in enumerate(rows)))
    return path


def read(path: Path, purpose="train"):
    return read_questions(path, purpose=purpose)


def test_json_csv_and_parquet_say_the_same(tmp_path):
    rows = [ROW | {"probabilities": SOFT, "weight": 2}, ROW | {"id": "8", "probabilities": None, "weight": None}]
    files = [tmp_path / "a.jsonl", tmp_path / "a.csv", tmp_path / "a.parquet"]
    files[0].write_text("".join(json.dumps(row) + "\n" for row in rows))
    quoted = json.dumps(SOFT).replace('"', '""')
    text = f'7,Which?,x,y,z,B,"{quoted}",2\n8,Which?,x,y,z,B,,\n'
    files[1].write_text("id,prompt,A,B,C,answer,probabilities,weight\n" + text)
    pq.write_table(pa.Table.from_pylist(rows), files[2])
    for file in files:
        soft, hard = read(file).questions
        assert soft.probabilities == pytest.approx((0.7, 0.2, 0.1))
        assert (soft.weight, soft.answer) == (2.0, 1), "the answer stays what is scored"
        assert (hard.probabilities, hard.weight) == (None, 1.0)


def test_parquet_fills_letters_up_that_a_question_does_not_have(tmp_path):
    two = {"question": "?", "options": ["x", "y"], "answer": 0, "probabilities": {"A": 0.5, "B": 0.5}}
    three = {"question": "?", "options": ["x", "y", "z"], "answer": 0, "probabilities": SOFT}
    pq.write_table(pa.Table.from_pylist([three, two]), tmp_path / "a.parquet")
    assert [len(q.probabilities) for q in read(tmp_path / "a.parquet").questions] == [3, 2]


def test_they_are_divided_by_their_sum(tmp_path):
    [question] = read(jsonl(tmp_path / "a.jsonl", {"probabilities": {"A": 0.7, "B": 0.2, "C": 0.1005}})).questions
    assert sum(question.probabilities) == pytest.approx(1, abs=1e-15)
    assert question.probabilities[0] == pytest.approx(0.7 / 1.0005)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"probabilities": {"A": 0.7, "B": 0.2, "C": 0.2}}, "have the sum 1.1; expected 1 within 0.001"),
        ({"probabilities": {"A": 0.7, "B": 0.3}}, "expected one for each of A, B, C"),
        ({"probabilities": {"A": 0.7, "B": 0.2, "D": 0.1}}, "expected one for each of A, B, C"),
        ({"probabilities": {"A": 1.2, "B": -0.1, "C": -0.1}}, "expected numbers from 0 to 1"),
        ({"probabilities": {"A": "0.7", "B": 0.2, "C": 0.1}}, "expected numbers from 0 to 1"),
        ({"probabilities": {"A": True, "B": 0.0, "C": 0.0}}, "expected numbers from 0 to 1"),
        ({"probabilities": [0.7, 0.2, 0.1]}, "expected a number for each option"),
        ({"probabilities": "A"}, "is not JSON"),
        # The last value was read in silence.
        ({"probabilities": '{"A": 0.9, "A": 0.1, "B": 0.9, "C": 0}'}, "names A twice"),
        ({"weight": -1}, "weight -1; expected a number of at least 0"),
        ({"weight": 10**400}, "expected a number of at least 0"),
        ({"probabilities": {"A": 10**400, "B": 0, "C": 0}}, "expected numbers from 0 to 1"),
        ({"weight": 1e300}, "weight 1e+300; expected 0, or a number from 1e-09 to 1e+09"),
        ({"weight": 1e-60}, "weight 1e-60; expected 0, or a number from 1e-09 to 1e+09"),
        ({"weight": "heavy"}, "weight 'heavy'; expected"),
        ({"weight": "nan"}, "weight 'nan'; expected"),
        ({"weight": True}, "weight True; expected"),
    ],
)
def test_a_wrong_cell_is_an_error_of_its_line_in_training_and_a_warning_in_prediction(cell, message, tmp_path):
    path = jsonl(tmp_path / "a.jsonl", {}, cell)
    with pytest.raises(DataError) as caught:
        read(path)
    assert f"{path}:2: " in str(caught.value)
    assert message in str(caught.value)
    predicted = read(path, "predict")
    assert predicted.questions[1].weight == 1
    assert predicted.questions[1].probabilities is None
    assert any(message in str(warning) for warning in predicted.warnings)


def test_without_an_answer_the_most_probable_option_is_it_and_a_warning_says_so(tmp_path):
    rows = [{"answer": "", "probabilities": SOFT}, {"answer": "C", "probabilities": SOFT}]
    file = read(jsonl(tmp_path / "a.jsonl", *rows))
    assert [question.answer for question in file.questions] == [0, 2]
    assert any("1 rows have no answer" in str(warning) for warning in file.warnings)
    path = tmp_path / "b.jsonl"
    path.write_text(json.dumps({k: v for k, v in ROW.items() if k != "answer"} | {"probabilities": SOFT}) + "\n")
    assert read(path).questions[0].answer == 0, "the whole column may be missing"


def test_a_tie_at_the_top_is_no_answer(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", {}, {"answer": "", "probabilities": {"A": 0.4, "B": 0.4, "C": 0.2}})
    with pytest.raises(DataError, match=r":2: no answer; training needs one"):
        read(path)


def test_ties_without_a_column_of_answers_are_named_by_their_rows(tmp_path):
    """One tie among votes was "missing column answer", although all other rows had theirs from the votes."""
    path = tmp_path / "votes.jsonl"
    row = {name: value for name, value in ROW.items() if name != "answer"}
    votes = [SOFT, {"A": 0.4, "B": 0.4, "C": 0.2}, SOFT]
    path.write_text(
        "".join(json.dumps(row | {"prompt": f"Which {n}?", "probabilities": v}) + "\n" for n, v in enumerate(votes))
    )
    with pytest.raises(DataError, match=r":2: no answer; training needs one \(several options share") as error:
        read(path)
    assert "missing column" not in str(error.value)


def test_a_training_is_told_of_weights_and_a_prediction_is_not(tmp_path):
    """A column that was always in a file, with another meaning, must not change a training in silence."""
    path = jsonl(tmp_path / "a.jsonl", {"weight": 0.5}, {"weight": 1})
    assert any("column weight is read: 1 of 2 rows" in str(warning) for warning in read(path).warnings)
    assert not read(path, "predict").warnings


def test_a_column_that_is_something_else_in_the_file_is_left_to_it(tmp_path):
    """An option whose column is called weight is no weight."""
    path = tmp_path / "a.csv"
    path.write_text("prompt,weight,mass,answer\nWhich?,5 kg,7 kg,A\n")
    named = merged_query(AS_IT_IS, "options=weight|mass", str(path))
    [question] = read_questions(path, purpose="train", read_as=named).questions
    assert (question.options, question.weight) == (("5 kg", "7 kg"), 1.0)


def test_the_json_text_of_probabilities_is_no_unused_passage(tmp_path):
    long = dict.fromkeys("ABC", 1 / 3)
    path = jsonl(tmp_path / "a.jsonl", {"probabilities": json.dumps(long)})
    assert not read(path).warnings
