"""What a report is collected from: answers, baselines and notes."""

from __future__ import annotations

import pytest
from report_files import predictions, questions, write_questions, write_run, write_training

from llmtuner.data.baselines import baselines_of
from llmtuner.errors import UserError
from llmtuner.report.run_report.collect import baseline_figures, collect_report


def test_missing_answers_come_from_the_question_file(tmp_path):
    records = questions(10)
    run = write_run(tmp_path / "run", predictions(records, answers=False))
    without = collect_report([str(run)])
    assert without.answered == 0
    report = collect_report([str(run)], [str(write_questions(tmp_path / "q.jsonl", records))])
    assert report.answers == tuple("ABCDE".index(record["answer"]) for record in records)
    assert any("10 answers are those of the question file" in note for note in report.notes)


def test_baselines_are_those_of_the_prediction(tmp_path):
    """They were counted in the scored questions, although the prediction knew the training data."""
    own = {"floor_random_map@3": 0.4, "floor_random_accuracy": 0.2, "floor_place_map@3": 0.1, "floor_place_accuracy": 0}
    report = collect_report([str(write_run(tmp_path / "run", predictions(questions(10)), own))])
    assert baseline_figures(report) == {"run": own}
    assert not report.notes


def test_baselines_are_computed_where_the_prediction_has_none(tmp_path):
    records = [record | {"context": "a passage"} for record in questions(10)]
    run, path = write_run(tmp_path / "run", predictions(records)), write_questions(tmp_path / "q.jsonl", records)
    report = collect_report([str(run)], [str(path)])
    assert baseline_figures(report)["run"] == baselines_of([text.question for text in report.texts.texts])
    computed = baseline_figures(collect_report([str(run)]))["run"]
    texts_needed = {"floor_longest_map@3", "floor_passage_map@3"}
    assert computed["floor_random_map@3"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 5)
    assert not texts_needed & set(computed)
    assert computed["floor_place_map@3"] == baseline_figures(report)["run"]["floor_place_map@3"]
    assert any("predict_results.json is missing in run" in note for note in report.notes)


def test_baselines_count_the_questions_that_the_scores_count(tmp_path):
    """The question file knew more answers than the prediction: a score of all stood beside baselines of a few."""
    records = questions(10)
    rows = [*predictions(records)[:4], *predictions(records, answers=False)[4:]]
    own = {"floor_random_map@3": 0.4, "floor_random_accuracy": 0.2}
    run = write_run(tmp_path / "run", rows, own)
    report = collect_report([str(run)], [str(write_questions(tmp_path / "q.jsonl", records))])
    assert report.answered == 10
    assert baseline_figures(report)["run"] == baselines_of([text.question for text in report.texts.texts])
    assert baseline_figures(collect_report([str(run)])) == {"run": own}


def test_two_trainings_of_one_name_are_refused(tmp_path):
    run = str(write_run(tmp_path / "run", predictions(questions(3))))
    folders = [str(write_training(tmp_path / name / "same")) for name in ("a", "b")]
    with pytest.raises(UserError, match="same name"):
        collect_report([run], trainings=folders)
    names = [t.name for t in collect_report([run], trainings=[folders[0], f"B={folders[1]}"]).trainings]
    assert names == ["same", "B"]
