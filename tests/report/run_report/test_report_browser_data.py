"""The JSON of the list of questions: safe in a script element, small enough, with the right marks."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path

import pytest
from report_files import EVIL, predictions, questions, write_questions

from llmtuner.data.predictions import Prediction
from llmtuner.report.run_report import browser_data as module
from llmtuner.report.run_report.browser_data import browser_data, most_certain_mistakes
from llmtuner.report.run_report.runs import Run
from llmtuner.report.run_report.texts import join_texts


def data_of(made, texts=None):
    answers = [prediction.answer for prediction in made]
    return browser_data([Run("run", Path("run"), tuple(made), {})], answers, texts)


def test_no_text_can_end_the_script_element(tmp_path):
    records = questions(4, evil=EVIL)
    made = predictions(records)
    texts = join_texts(made, [str(write_questions(tmp_path / "q.jsonl", records))])
    encoded = data_of(made, texts).json
    assert not set("<>&\u2028\u2029") & set(encoded)
    decoded = json.loads(encoded)
    assert decoded["questions"][0][0] == records[0]["id"]
    assert decoded["questions"][0][3:5] == [records[0]["prompt"], [records[0][letter] for letter in "ABCDE"]]
    assert decoded["columns"] == ["subject", "useful"]


def test_an_option_without_a_score_has_no_probability():
    """Its 0.0 looked like a score."""
    [[ranking, probabilities, status]] = json.loads(data_of([Prediction("a", (-inf, 1.0, 1.0), 1)]).json)[
        "predictions"
    ][0]
    assert (ranking, probabilities, status) == ("BCA", [None, 0.5, 0.5], module.TIED)


@pytest.mark.parametrize(
    ("scores", "answer", "status"),
    [
        ((2.0, 1.0), 0, module.RIGHT),
        ((2.0, 1.0), 1, module.WRONG),
        ((1.0, 1.0), 1, module.TIED),
        ((2.0, 1.0), None, module.UNKNOWN),
    ],
)
def test_the_status_of_an_answer(scores, answer, status):
    assert json.loads(data_of([Prediction("a", scores, answer)]).json)["predictions"][0][0][2] == status


def test_a_passage_is_cut_and_its_length_known(tmp_path):
    records = [questions(1)[0] | {"context": "x" * 1_201}, questions(2)[1] | {"context": "y" * 1_200}]
    made = predictions(records)
    texts = join_texts(made, [str(write_questions(tmp_path / "q.jsonl", records))])
    cut, whole = (question[5:7] for question in json.loads(data_of(made, texts).json)["questions"])
    assert (len(cut[0]), cut[1]) == (1_200, 1_201)
    assert (len(whole[0]), whole[1]) == (1_200, 1_200)


def test_texts_are_cut_further_until_the_page_is_small(tmp_path, monkeypatch):
    """Ten thousand Chinese passages made a page of 40 MB."""
    records = [record | {"context": "汉" * 5_000, "prompt": "字" * 5_000} for record in questions(20)]
    made = predictions(records)
    texts = join_texts(made, [str(write_questions(tmp_path / "q.jsonl", records))])
    monkeypatch.setattr(module, "MOST_BYTES", 60_000)
    data = data_of(made, texts)
    assert len(data.json.encode()) <= 60_000
    assert data.passage_limit < module.LONGEST_PASSAGE
    assert json.loads(data.json)["passage_limit"] == data.passage_limit


def test_the_most_certain_mistakes_come_first_and_ties_are_none():
    made = [
        Prediction("right", (9.0, 0.0), 0),
        Prediction("unsure", (1.0, 0.5), 1),
        Prediction("certain", (5.0, 0.0), 1),
        Prediction("tied", (5.0, 5.0), 1),
        Prediction("unknown", (9.0, 0.0)),
    ]
    assert most_certain_mistakes(made, [prediction.answer for prediction in made]) == [2, 1]
