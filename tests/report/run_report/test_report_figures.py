"""The figures of a report agree with those of the metrics, and every question is counted once."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest
from report_files import predictions, questions, write_questions

from llmtuner.data.predictions import Prediction
from llmtuner.metrics import accuracy, ece, map_at_k
from llmtuner.report.run_report.figures import (
    Answered,
    calibration_bins,
    chosen_places,
    confusion,
    differences,
    groupings,
    run_scores,
)
from llmtuner.report.run_report.runs import Run
from llmtuner.report.run_report.texts import join_texts


def answered_of(made: list[Prediction]) -> Answered:
    return Answered.of(made, [prediction.answer for prediction in made])


def run_of(made: list[Prediction]) -> Run:
    return Run("run", Path("run"), tuple(made), {})


def test_scores_are_those_of_the_metrics_without_unanswered_questions():
    made = predictions(questions(40))
    unanswered = [Prediction("x", (5.0, 1.0)), *made, Prediction("y", (0.0, 1.0, 2.0))]
    scores, answers = [p.scores for p in made], [p.answer for p in made]
    result = run_scores("run", answered_of(unanswered))
    assert result.map3.value == map_at_k(scores, answers)
    assert result.accuracy.value == accuracy(scores, answers)
    assert result.map3.interval[0] < result.map3.value < result.map3.interval[1]


def test_the_gaps_of_the_bins_make_the_calibration_error():
    """The curve had other bins than the number beside it."""
    made = predictions(questions(60), skill=2)
    bins = calibration_bins(answered_of(made))
    assert sum(each.questions for each in bins) == 60
    error = sum(each.questions * abs(each.accuracy - each.confidence) for each in bins) / 60
    assert error == pytest.approx(ece([p.scores for p in made], [p.answer for p in made]))


def test_the_groups_of_each_way_hold_every_question_once(tmp_path):
    records = questions(20) + [r | {"id": f"two {r['id']}"} for r in questions(12, options=2)]
    made = predictions(records)
    texts = join_texts(made, [str(write_questions(tmp_path / "q.jsonl", records))])
    ways = {each.title: each for each in groupings([answered_of(made)], made, texts)}
    assert list(ways) == [
        "Subject",
        "Useful",
        "Passage",
        "Characters of the question",
        "Number of options",
        "Place of the answer",
    ]
    for way in ways.values():
        assert sum(group.questions for group in way.groups) == len(made)
        total = sum(group.questions * group.accuracies[0].value for group in way.groups)
        assert total / len(made) == pytest.approx(answered_of(made).score(1).value)
    assert [group.name for group in ways["Number of options"].groups] == ["2 options", "5 options"]
    assert {group.name for group in ways["Useful"].groups} == {"true", "false"}


def test_ten_options_come_behind_two():
    made = [Prediction(str(count), tuple(map(float, range(count))), 0) for count in (10, 2, 9)]
    names = [group.name for group in next(iter(groupings([answered_of(made)], made, None))).groups]
    assert names == ["2 options", "9 options", "10 options"]


def test_questions_of_one_length_are_no_groups(tmp_path):
    records = [record | {"prompt": "same length?"} for record in questions(8)]
    made = predictions(records)
    texts = join_texts(made, [str(write_questions(tmp_path / "q.jsonl", records))])
    titles = [each.title for each in groupings([answered_of(made)], made, texts)]
    assert "Characters of the question" not in titles


def test_places_of_answers_and_choices():
    made = [Prediction("a", (2.0, 1.0, 0.0), 1), Prediction("b", (0.0, 3.0), 1), Prediction("c", (0.0, -inf, 0.0))]
    answers = [prediction.answer for prediction in made]
    assert confusion(run_of(made), answers) == [[0, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert chosen_places(run_of(made)) == [2, 1, 0]


def test_a_difference_is_the_second_run_minus_the_first():
    records = questions(60)
    weak, strong = (answered_of(predictions(records, skill=skill, seed=seed)) for skill, seed in ((0, 1), (3, 2)))
    [pair] = differences([weak, strong])
    assert pair.map3.value == pytest.approx(strong.score(3).value - weak.score(3).value)
    assert 0 < pair.map3.interval[0] < pair.map3.value < pair.map3.interval[1]
    assert (pair.gained - pair.lost) / 60 == pytest.approx(pair.accuracy.value)
    [back] = differences([strong, weak])
    assert (back.gained, back.lost) == (pair.lost, pair.gained)


def test_a_tie_with_the_answer_is_not_gained():
    one, other = (answered_of([Prediction("a", scores, 0)]) for scores in ((0.0, 1.0), (1.0, 1.0)))
    [pair] = differences([one, other])
    assert (pair.gained, pair.lost, pair.accuracy.value) == (0, 0, 0.5)
