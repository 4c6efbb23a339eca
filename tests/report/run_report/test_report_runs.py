"""The runs of a report: names, folders, and predictions that belong together."""

from __future__ import annotations

import json

import pytest
from report_files import predictions, questions, write_run

from llmtuner.data.predictions import Prediction
from llmtuner.errors import UserError
from llmtuner.report.run_report.runs import named_folder, read_runs


def test_a_run_is_named_by_its_folder_or_by_the_user(tmp_path, monkeypatch):
    """A folder with an equals sign in its name, as sweeps make them, was taken for NAME=DIR."""
    (tmp_path / "lr=1").mkdir()
    monkeypatch.chdir(tmp_path)
    assert named_folder("lr=1")[0] == "lr=1"
    assert named_folder("A=lr=1") == ("A", tmp_path.joinpath("lr=1").relative_to(tmp_path))
    assert named_folder("out/mcq_predict/")[0] == "mcq_predict"
    assert named_folder(".")[0] == tmp_path.name


def test_runs_are_joined_by_id_as_text_in_the_order_of_the_first(tmp_path):
    first = [Prediction(name, (0.0, 1.0), 1) for name in ("1", "01", "2")]
    second = [Prediction(name, (float(place), 0.5), 1) for place, name in enumerate(("2", "1", "01"))]
    runs = read_runs([f"a={write_run(tmp_path / 'a', first)}", f"b={write_run(tmp_path / 'b', second)}"])
    assert [p.id for p in runs[1].predictions] == ["1", "01", "2"]
    assert [p.scores[0] for p in runs[1].predictions] == [1.0, 2.0, 0.0]


def test_runs_of_other_questions_or_answers_are_refused_with_their_ids(tmp_path):
    records = questions(4)
    made = predictions(records)
    folder = write_run(tmp_path / "a", made)
    others = {
        "lacks": (made[:-1], "q3"),
        "answer": ([*made[:-1], Prediction("q3", made[3].scores, (made[3].answer + 1) % 5)], "q3"),
        "options": ([*made[:-1], Prediction("q3", (*made[3].scores, 0.0), made[3].answer)], "q3"),
        "twice": ([*made, made[0]], "q0"),
    }
    for name, (rows, id_named) in others.items():
        with pytest.raises(UserError, match=id_named):
            read_runs([str(folder), str(write_run(tmp_path / name, rows))])


def test_predictions_of_another_run_than_the_stated_score_are_refused(tmp_path):
    """A file that was cut at the end of a line, or copied from another run, was shown beside the score of the first."""
    made = [Prediction(str(n), (1.0, 0.0), n % 2) for n in range(4)]
    folder = write_run(tmp_path / "a", made, {"predict_map@3": 0.75})
    assert read_runs([str(folder)])
    write_run(tmp_path / "a", made[:3], {"predict_map@3": 0.75})
    with pytest.raises(UserError, match=r"predict_map@3 is 0.7500, but predictions.jsonl gives 0.8333"):
        read_runs([str(folder)])
    assert read_runs([str(write_run(tmp_path / "b", made[:3], {}))]), "without answers no score is stated"


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "expected an object"),
        ({"floor_random_map@3": "<b>"}, "from 0 to 1"),
        ({"floor_longest_map@3": 0.5}, "floor_longest_accuracy"),
        ({"floor_longest_map@3": 0.5, "floor_longest_accuracy": True}, "floor_longest_accuracy"),
        ({"floor_place_map@3": 7, "floor_place_accuracy": 0.5}, "from 0 to 1"),
    ],
)
def test_broken_results_are_a_message_not_a_traceback(tmp_path, results, message):
    folder = write_run(tmp_path / "a", predictions(questions(3)))
    text = results if isinstance(results, str) else json.dumps(results)
    (folder / "predict_results.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_runs([str(folder)])


def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "predictions.jsonl").write_text("\n", encoding="utf-8")
    folder = write_run(tmp_path / "x" / "run", predictions(questions(2)))
    for arguments, message in (
        ([str(tmp_path / "missing")], "no such folder"),
        ([str(folder / "predictions.jsonl")], "is a file"),
        ([str(tmp_path / "empty")], "has no predictions.jsonl"),
        ([str(tmp_path / "none")], "has no predictions"),
        ([str(folder), f"run={folder}"], "both runs are called 'run'"),
    ):
        with pytest.raises(UserError, match=message):
            read_runs(arguments)
