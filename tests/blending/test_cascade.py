"""Cascades: which questions the large model gets, what comes of them, and the time."""

from __future__ import annotations

import json

import pytest
from support import load_script

from llmtuner.blending.cascade import TRIAL, Cascade, least_certain, record, run_cascade
from llmtuner.data import read_questions
from llmtuner.data.predictions import Prediction
from llmtuner.data.question import Question
from llmtuner.data.trained import TrainedQuestions
from llmtuner.errors import UserError
from llmtuner.mcq.settings import McqSettings, write_settings
from llmtuner.runs.lock import locked
from llmtuner.runs.trained import write_trained

QUESTIONS = [Question(str(row), f"Which {row}?", ("x", "y", "z"), row % 3) for row in range(100)]


class Clock:
    """Seconds that pass only when a model scores."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def model(clock: Clock, seconds: float, calls: list, *, right: bool):
    """Loads a model that takes some seconds a question; its margin grows with the id."""

    def score(questions):
        calls.append([question.id for question in questions])
        clock.now += seconds * len(questions)
        place = (lambda q: q.answer) if right else (lambda q: (q.answer + 1) % 3)
        return [
            Prediction(q.id, tuple(1 + int(q.id) / 10 if i == place(q) else 0.0 for i in range(3)), q.answer)
            for q in questions
        ]

    return lambda: score


def run(*, fast: float = 0.01, slow: float = 1.0, **more) -> tuple[Cascade, list, list]:
    clock, small, large = Clock(), [], []
    models = model(clock, fast, small, right=False), model(clock, slow, large, right=True)
    return run_cascade(QUESTIONS, *models, clock=clock, **more), small, large


def test_the_large_model_gets_the_least_certain_share_and_its_word_counts_there():
    result, small, large = run(share=0.3)
    assert small == [[str(row) for row in range(100)]]
    assert large == [[str(row) for row in range(30)]]
    assert [p.ranking[0] == "ABC"[p.answer] for p in result.predictions] == [True] * 30 + [False] * 70
    assert [p.id for p in result.predictions] == [q.id for q in QUESTIONS]
    scores = record(result, "s", "l")["scores"]
    assert scores["cascade"]["accuracy"] == pytest.approx(0.3)
    assert (scores["small"]["accuracy"], scores["small_on_share"]["accuracy"]) == (0, 0)
    assert scores["large_on_share"]["accuracy"] == 1


@pytest.mark.parametrize(("share", "count"), [(0, 0), (0.004, 0), (1, 100)])
def test_the_ends_of_the_share(share, count):
    result, _, large = run(share=share)
    assert len(result.rows) == count
    assert len(large) == (count > 0)
    assert json.dumps(record(result, "s", "l"), allow_nan=False)


def test_the_margin_is_between_the_two_highest_and_ties_keep_their_order():
    """The highest probability alone calls five equal options less certain than two."""
    rows = [(3.0, 0.0, 0.0), (2.0, 2.0, -9.0), (1.0, 0.9, 0.8), (2.0, 2.0, -9.0)]
    assert least_certain([Prediction(str(i), scores) for i, scores in enumerate(rows)]) == [1, 3, 2, 0]


def test_hours_are_spent_by_the_measured_speed():
    result, _, large = run(hours=71 / 3600)
    assert [len(call) for call in large] == [TRIAL, 70 - TRIAL]  # 1 s for the small model, then 1 s a question
    assert result.seconds == (pytest.approx(1.0), pytest.approx(70.0))
    assert result.hours(1.0) == pytest.approx(101 / 3600)
    assert len({id_ for call in large for id_ in call}) == 70, "no question is scored twice"
    assert len(run(hours=9.0)[0].rows) == 100
    assert len(run(hours=0.5 / 3600)[0].rows) == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [({}, "either"), ({"share": 0.1, "hours": 1}, "either"), ({"share": 1.1}, "0 to 1"), ({"hours": 0}, "above 0")],
)
def test_mistakes(more, message):
    with pytest.raises(UserError, match=message):
        run(**more)


def test_a_folder_without_a_head_is_refused_before_anything_is_scored(tmp_path, capsys):
    (tmp_path / "q.csv").write_text("prompt,A,B,answer\nWhich?,x,y,A\n")
    words = [str(tmp_path), str(tmp_path), str(tmp_path / "q.csv"), "--out", str(tmp_path / "out"), "--share", "0.5"]
    assert load_script("cascade").main(words) == 2
    assert "expected the output folder of a --stage mcq training" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_hours_without_an_end_are_refused():
    """They ended in an OverflowError after both models had scored."""
    with pytest.raises(UserError, match="above 0"):
        run(hours=float("inf"))


@pytest.mark.parametrize("device", ["cuda:77", "nosuch"])
def test_a_device_that_torch_cannot_use_is_refused_before_a_model_is_loaded(device, tmp_path, monkeypatch, capsys):
    """It was a traceback of torch."""
    (tmp_path / "q.csv").write_text("prompt,A,B,answer\nWhich?,x,y,A\n")
    monkeypatch.setattr("llmtuner.mcq.settings.read_settings", lambda folder: object())
    words = [str(tmp_path), str(tmp_path), str(tmp_path / "q.csv"), "--out", str(tmp_path / "out"), "--share", "0.5"]
    assert load_script("cascade").main([*words, "--device", device]) == 2
    assert f"--device {device}: torch cannot use it" in capsys.readouterr().err


def test_the_json_goes_to_a_file(tmp_path, monkeypatch, capsys):
    """compare.py and blend.py take a FILE behind --json; here it was an unknown argument."""
    (tmp_path / "q.csv").write_text("prompt,A,B,C,answer\n" + "".join(f"Which {row}?,x,y,z,A\n" for row in range(9)))
    monkeypatch.setattr("llmtuner.mcq.settings.read_settings", lambda folder: object())
    monkeypatch.setattr("llmtuner.mcq.scorer.check_scorable", lambda folder, questions: None)
    monkeypatch.setattr("llmtuner.blending.cascade.run_cascade", lambda *args, **more: run(share=0.3)[0])
    words = [str(tmp_path), str(tmp_path), str(tmp_path / "q.csv"), "--out", str(tmp_path / "out"), "--share", "0.5"]
    path = tmp_path / "c.json"
    assert load_script("cascade").main([*words, "--json", str(path)]) == 0
    assert path.read_text() == (tmp_path / "out/cascade.json").read_text()
    assert "small, on share" in capsys.readouterr().out
    again = [*words[:4], str(tmp_path / "other"), *words[5:], "--json", str(path)]
    assert load_script("cascade").main(again) == 2
    assert "pass --overwrite" in capsys.readouterr().err


def test_scored_training_questions_are_counted_as_in_a_prediction(tmp_path, monkeypatch, capsys):
    """Both models had learnt all questions by heart, and nothing said so."""
    questions = tmp_path / "q.csv"
    questions.write_text(
        "prompt,A,B,C,answer\n" + "".join(f"Which {row}?,x,y,z,{'ABC'[row % 3]}\n" for row in range(60))
    )
    large = tmp_path / "large"
    large.mkdir()
    write_trained(TrainedQuestions.of(read_questions(questions, purpose="train").questions), large)
    monkeypatch.setattr("llmtuner.mcq.settings.read_settings", lambda folder: object())
    monkeypatch.setattr("llmtuner.mcq.scorer.check_scorable", lambda folder, questions: None)
    monkeypatch.setattr("llmtuner.blending.cascade.run_cascade", lambda *args, **more: run(share=0.3)[0])
    words = [str(tmp_path), str(large), str(questions), "--out", str(tmp_path / "out"), "--share", "0.5"]
    assert load_script("cascade").main(words) == 0
    assert capsys.readouterr().err.count("warning: 60 of 60 scored questions are also in the training data") == 1


@pytest.mark.parametrize("defect", ["shots", "base"])
def test_a_large_model_that_cannot_score_is_refused_before_the_small_one_scores(defect, tmp_path, monkeypatch, capsys):
    """Examples among the questions, or a lost base model, were noticed when the small one had scored for hours."""
    (tmp_path / "q.csv").write_text("id,prompt,A,B,answer\n1,Which?,x,y,A\n")
    shot = {"id": "1", "dataset": "d", "question": "Which?", "options": ["x", "y"], "answer": 0, "context": ""}
    settings = McqSettings(prompt={"shots": {"count": 1, "questions": [shot]}} if defect == "shots" else {})
    for name in ("small", "large"):
        (tmp_path / name).mkdir()
        write_settings(settings if name == "large" else McqSettings(), tmp_path / name)
    if defect == "base":
        content = {"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "lost")}
        (tmp_path / "large" / "adapter_config.json").write_text(json.dumps(content))
    monkeypatch.setattr("llmtuner.mcq.scorer.check_model_folder", lambda *_, **__: {})
    monkeypatch.setattr("llmtuner.blending.cascade.run_cascade", lambda *_, **__: pytest.fail("a model was loaded"))
    words = [str(tmp_path / name) for name in ("small", "large", "q.csv")]
    assert load_script("cascade").main([*words, "--out", str(tmp_path / "out"), "--share", "0.5"]) == 2
    error = capsys.readouterr().err
    assert ("are also shots" if defect == "shots" else str(tmp_path / "lost")) in error
    if defect == "base":  # it advised `base_model`, which the command does not have
        assert "which is not there; merge it with its base model first (scripts/merge.py --base_model)" in error


def test_a_second_cascade_into_the_folder_is_refused_before_it_scores(tmp_path, monkeypatch, capsys):
    """Two at the same time mixed their files, after both had scored for hours."""
    monkeypatch.setattr("llmtuner.blending.cascade.run_cascade", lambda *_, **__: pytest.fail("a model was loaded"))
    with locked(tmp_path / "out", flag="--out"):
        words = ["small", "large", "q.csv", "--out", str(tmp_path / "out"), "--share", "0.5", "--overwrite"]
        assert load_script("cascade").main(words) == 2
    assert "another run writes to it (process " in capsys.readouterr().err
