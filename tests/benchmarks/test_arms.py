"""Trainings with several arms: what starts, and how arms are paired."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from evidence import arms, parallel
from evidence.arms import Training, compare_arms, train_arms
from evidence.parallel import run_parallel

from llmtuner.data.predictions import Prediction
from llmtuner.data.question import Question

QUESTIONS = [Question(f"q{row}", "text", ("a", "b", "c", "d"), row % 4) for row in range(8)]
MAP3 = [1.0, 1 / 2, 1 / 3, 0.0]  # by the place of the answer


def predictions(places: list[int], *, reverse: bool = False) -> list[Prediction]:
    """Predictions that rank each answer at the given place, 0 the best."""
    rows = []
    for question, place in zip(QUESTIONS, places, strict=True):
        wrong = [option for option in range(4) if option != question.answer]
        order = [*wrong[:place], question.answer, *wrong[place:]]
        rows.append(Prediction(question.id, tuple(-float(order.index(option)) for option in range(4))))
    return rows[::-1] if reverse else rows


def test_arms_are_paired_by_seed_and_question():
    """An unpaired mean has the same difference; its interval does not exclude 0 where every question gains."""
    rng = np.random.default_rng(0)
    better = rng.integers(0, 3, (3, 8)).tolist()
    places = {"closed": [[place + 1 for place in of_seed] for of_seed in better], "open": better}
    results = compare_arms(
        {arm: [predictions(of_seed) for of_seed in seeds] for arm, seeds in places.items()},
        QUESTIONS,
        baseline="closed",
    )
    for arm, seeds in places.items():
        assert results[arm].map3_S == pytest.approx([np.mean([MAP3[place] for place in seed]) for seed in seeds])
        assert results[arm].accuracy_S == [seed.count(0) / 8 for seed in seeds]
    difference = results["open"].difference()
    gains = [MAP3[place] - MAP3[place + 1] for seed in better for place in seed]
    assert difference["difference"] == pytest.approx(np.mean(gains))
    low, high = difference["interval"]
    assert min(gains) <= low < difference["difference"] < high <= max(gains)
    assert results["closed"].difference() == {"difference": 0.0, "interval": (0.0, 0.0)}


def test_predictions_belong_to_questions_by_their_ids():
    """In the order of the file, reversed predictions were scored against the answers of others."""
    places = [0, 1, 2, 3, 0, 0, 1, 2]
    arms_ = {"a": [predictions(places)], "b": [predictions(places, reverse=True)]}
    results = compare_arms(arms_, QUESTIONS, baseline="a")
    assert results["a"].map3_S == results["b"].map3_S
    assert results["b"].difference() == {"difference": 0.0, "interval": (0.0, 0.0)}
    with pytest.raises(ValueError, match="no prediction for question q7"):
        compare_arms({"a": [predictions(places)[:7]]}, QUESTIONS, baseline="a")


def test_a_part_counts_its_own_questions_and_groups():
    """The groups of all questions were laid over those of a part."""
    places = {"a": [[1] * 8], "b": [[0] * 4 + [1] * 4]}
    results = compare_arms(
        {arm: [predictions(seed) for seed in seeds] for arm, seeds in places.items()},
        QUESTIONS,
        baseline="a",
        groups_Q=["x", "x", "y", "y", "x", "z", "z", "z"],
    )
    part_Q = np.array([False, False, True, True, True, False, False, False])
    difference = results["b"].difference(part_Q)
    assert difference["difference"] == pytest.approx(1 / 3)
    assert difference["interval"] == pytest.approx((0.0, 0.5)), "group y gains, group x does not"


@pytest.mark.parametrize(
    ("seeds", "questions", "message"),
    [
        ({"a": 2, "b": 1}, QUESTIONS, "different numbers of seeds"),
        ({"a": 1}, [*QUESTIONS[:7], Question("q7", "text", ("a", "b"), None)], "question q7 has no answer"),
    ],
)
def test_arms_that_cannot_be_paired_are_rejected(seeds, questions, message):
    """A missing seed broadcast the other arm's only one, and a missing answer counted as the first option."""
    given = {arm: [predictions([0] * 8)] * count for arm, count in seeds.items()}
    with pytest.raises(ValueError, match=message):
        compare_arms(given, questions, baseline="a")


def test_every_arm_gets_its_own_files_and_seed(monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(arms, "train_and_score", lambda *words, **more: started.append((words, more)))
    trainings = [
        Training(["--a"], "model", Path(f"{arm}.jsonl"), {"test": Path("test.jsonl")}, tmp_path / arm / str(seed), seed)
        for seed in (1, 2)
        for arm in ("x", "y")
    ]
    train_arms(trainings, parallel=1, threads=3)
    assert started == [
        (
            (["--a"], "model", Path(f"{arm}.jsonl"), {"test": Path("test.jsonl")}, tmp_path / arm / str(seed)),
            {"seed": seed, "threads": 3},
        )
        for seed in (1, 2)
        for arm in ("x", "y")
    ]


def test_jobs_run_side_by_side_and_none_starts_after_a_failure():
    """After a failed training, other threads went on to start further ones."""
    meeting = threading.Barrier(2, timeout=20)  # passed by two jobs that run at the same time only
    run_parallel(lambda job: meeting.wait(), [1, 2], 2)
    started = []

    def job(number: int) -> None:
        started.append(number)
        if number == 2:
            raise SystemExit("error: a training failed")

    with pytest.raises(SystemExit, match="a training failed"):
        run_parallel(job, [1, 2, 3, 4], 1)
    assert started == [1, 2]


def test_no_job_starts_after_the_minutes(monkeypatch):
    clock, started = iter([0.0, 30.0, 59.0, 61.0, 62.0]), []
    monkeypatch.setattr(parallel, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    run_parallel(started.append, ["a", "b", "c", "d"], 1, minutes=1)
    assert started == ["a", "b"]
