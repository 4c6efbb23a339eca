"""The output files of a prediction."""

from __future__ import annotations

import csv
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtuner.data.forms.row import is_formula
from llmtuner.data.predictions import Prediction, read_predictions, submission_ids, write_predictions
from llmtuner.errors import DataError


def test_files_have_the_order_and_the_form_of_the_contract(tmp_path):
    predictions = [
        Prediction(id="007", scores=(0.1, 2.0, -1.0, 0.5, 0.4), answer=1),
        Prediction(id="x,y", scores=(1.0, 3.0)),
    ]
    write_predictions(predictions, tmp_path / "new folder")
    lines = [json.loads(line) for line in (tmp_path / "new folder" / "predictions.jsonl").open()]
    assert [line["id"] for line in lines] == ["007", "x,y"]
    assert lines[0]["ranking"] == ["B", "D", "E", "A", "C"]
    assert lines[0]["answer"] == "B"
    assert "answer" not in lines[1]
    assert "dataset" not in lines[0]
    assert lines[0]["scores"]["C"] == -1.0
    assert sum(lines[0]["probabilities"].values()) == pytest.approx(1)
    with (tmp_path / "new folder" / "submission.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["id", "prediction"], ["007", "B D E"], ["x,y", "B A"]]
    assert sorted(p.name for p in (tmp_path / "new folder").iterdir()) == ["predictions.jsonl", "submission.csv"]


def test_the_data_set_is_named_where_there_are_several(tmp_path):
    write_predictions([Prediction("1", (0.0, 1.0), dataset="a"), Prediction("1", (0.0, 1.0), dataset="b")], tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").open()]
    assert [line["dataset"] for line in lines] == ["a", "b"]


def test_equal_scores_rank_by_letter():
    assert Prediction("1", (0.0, 1.0, 1.0, 0.0)).ranking == "BCAD"


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=10))
def test_scores_come_back_unrounded_and_probabilities_are_finite(scores):
    prediction = Prediction("1", tuple(scores))
    assert sum(prediction.probabilities) == pytest.approx(1)
    best = max(range(len(scores)), key=lambda i: scores[i])
    assert scores["ABCDEFGHIJ".index(prediction.ranking[0])] == scores[best]


def test_an_earlier_file_stays_whole_when_writing_fails(tmp_path, monkeypatch):
    """A full disk in the middle of a write left half a submission."""
    write_predictions([Prediction("1", (0.0, 1.0))], tmp_path)
    before = (tmp_path / "submission.csv").read_text()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_predictions([Prediction("2", (1.0, 0.0))], tmp_path)
    assert (tmp_path / "submission.csv").read_text() == before


@given(
    st.lists(
        st.builds(
            lambda name, scores, answer: Prediction(name, tuple(scores), answer and answer % len(scores)),
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
                lambda name: not is_formula(name)
            ),
            st.lists(st.floats(-50, 50), min_size=2, max_size=10),
            st.none() | st.integers(1, 9),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_again(tmp_path, predictions):
    """U+2028 and similar characters in an id are line breaks to str.splitlines."""
    assert read_predictions(write_predictions(predictions, tmp_path)[0]) == predictions


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "no id with scores"),
        ('{"id": "1"}', "no id with scores"),
        ('{"id": "1", "scores": [1, 2]}', "no id with scores"),
        ('{"id": "1", "scores": {"A": 1}}', "expected one for each letter"),
        ('{"id": "1", "scores": {"A": 1, "C": 2}}', "expected one for each letter"),
        ('{"id": "1", "scores": {"A": 1, "B": "2"}}', "finite numbers"),
        ('{"id": "1", "scores": {"A": 1, "B": NaN}}', "finite numbers"),
        ('{"id": "1", "scores": {"A": 1, "B": 1' + "0" * 400 + "}}", "finite numbers"),
        ("[" * 200_000, "not JSON"),
        ('{"id": "1", "scores": {"A": 1, "B": 2}, "answer": "C"}', "is not one of AB"),
        ('{"id": "1", "scores": {"A": 1, "B": 2}, "answer": "AB"}', "is not one of AB"),
    ],
)
def test_a_line_that_is_no_prediction_is_named(tmp_path, line, message):
    path = tmp_path / "predictions.jsonl"
    path.write_text('{"id": "0", "scores": {"A": 1, "B": 2}}\n\n' + line + "\n")
    with pytest.raises(DataError, match=rf"predictions\.jsonl:3: .*{message}"):
        read_predictions(path)


def test_ids_of_two_data_sets_stay_apart(tmp_path):
    """Both have a question 0; a submission with two rows 0 mixes them."""
    same = [Prediction("0", (1.0, 2.0), dataset="a.csv"), Prediction("0", (2.0, 1.0), dataset="b.csv")]
    write_predictions(same, tmp_path)
    with (tmp_path / "submission.csv").open(newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["id", "a.csv/0", "b.csv/0"]
    assert [(p.dataset, p.id) for p in read_predictions(tmp_path / "predictions.jsonl")] == [
        ("a.csv", "0"),
        ("b.csv", "0"),
    ]
    different = [same[0], Prediction("1", (2.0, 1.0), dataset="b.csv"), Prediction("2", (2.0, 1.0), dataset="b.csv")]
    assert submission_ids(different) == ["0", "1", "2"]
    assert submission_ids([*different, same[1]]) == ["a.csv/0", "b.csv/1", "b.csv/2", "b.csv/0"]


def test_an_option_without_a_score_is_null_and_last(tmp_path):
    """JSON has no infinity, and a missing score was read as a damaged file."""
    sums = (-3.0, -math.inf, -4.5)
    written = Prediction("1", (-1.0, -math.inf, -2.0), 1, loglikelihood=sums, option_tokens=(3, 0, 2))
    write_predictions([written], tmp_path)
    text = (tmp_path / "predictions.jsonl").read_text()
    record = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert record["scores"] == {"A": -1.0, "B": None, "C": -2.0}
    assert record["loglikelihood"] == {"A": -3.0, "B": None, "C": -4.5}
    assert record["option_tokens"] == {"A": 3, "B": 0, "C": 2}
    assert record["ranking"] == ["A", "C", "B"]
    assert record["probabilities"]["B"] == 0.0
    assert read_predictions(tmp_path / "predictions.jsonl") == [written]
    assert (tmp_path / "submission.csv").read_text().splitlines()[1] == "1,A C B"


@pytest.mark.parametrize(
    "more",
    [
        {"scores": {"A": None, "B": None}},
        {"loglikelihood": {"A": 1.0}},
        {"loglikelihood": {"A": "x", "B": 1.0}},
        {"option_tokens": {"A": 1.5, "B": 1}},
        {"option_tokens": {"A": True, "B": 1}},
        {"option_tokens": [1, 2]},
    ],
)
def test_numbers_that_no_head_writes_are_refused(more, tmp_path):
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps({"id": "1", "scores": {"A": 0.5, "B": 1.0}, **more}) + "\n")
    with pytest.raises(DataError, match=rf"predictions\.jsonl:1: {next(iter(more))}"):
        read_predictions(path)


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x")', "+1", "@a", "-a"])
def test_an_id_that_is_a_formula_is_refused(name, tmp_path):
    """A blend of predictions from elsewhere wrote it into submission.csv."""
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps({"id": name, "scores": {"A": 0.1, "B": 0.2}}) + "\n")
    with pytest.raises(DataError, match=r"predictions.jsonl:1: id .* would run as a formula"):
        read_predictions(path)
    path.write_text(json.dumps({"id": "-12", "scores": {"A": 0.1, "B": 0.2}}) + "\n")
    assert read_predictions(path)[0].id == "-12"


def test_the_digest_of_the_question_comes_back_and_older_files_have_none(tmp_path):
    """Predictions named their questions by id alone, and files without ids number their rows."""
    made = [Prediction("0", (0.0, 1.0), digest="0123456789abcdef"), Prediction("1", (0.0, 1.0))]
    write_predictions(made, tmp_path)
    assert read_predictions(tmp_path / "predictions.jsonl") == made
    assert [made[0].is_of(each) for each in ("0123456789abcdef", "f" * 16, None)] == [True, False, True]
    assert made[1].is_of("f" * 16)
    (tmp_path / "bad.jsonl").write_text('{"id": "0", "scores": {"A": 0, "B": 1}, "digest": 7}\n')
    with pytest.raises(DataError, match=r"bad.jsonl:1: digest 7; expected 16 hexadecimal digits"):
        read_predictions(tmp_path / "bad.jsonl")
