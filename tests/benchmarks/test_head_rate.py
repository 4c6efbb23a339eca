"""The comparison of a head's learning rate: the rates of its trainings, and its result."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import head_rate
import numpy as np
import pytest
from evidence import whole
from evidence.cells import BASELINE, Cell, Result, load_all, save
from evidence.exams import Exam
from support import ROOT

from llmtuner.data.predictions import Prediction, write_predictions
from llmtuner.data.question import Question
from llmtuner.mcq.heads import HEADS


def toy_exam() -> Exam:
    rng = np.random.default_rng(0)
    questions = []
    for row in range(20):
        options = tuple("".join(rng.choice(list("abcdefgh"), 3)) for _ in range(3))
        questions.append(Question(str(row), f"which is {row}?", options, row % 3, context="read this"))
    return Exam("toy", questions[:12], frozenset(), questions[12:], [False] * 7 + [True])


@pytest.fixture
def run_head_rate(monkeypatch, tmp_path):
    """Run the script with trainings that predict at random; return the result and the rate of each training."""
    toy, rates = toy_exam(), []

    def train_bash(flags, log, threads):
        out = Path(flags[flags.index("--output_dir") + 1])
        out.mkdir(parents=True, exist_ok=True)
        if "--do_train" in flags:
            last = max(place for place, flag in enumerate(flags) if flag == "--head_learning_rate")
            rates.append((flags[flags.index("--mcq_head") + 1], flags[last + 1]))
            (out / "train_results.json").write_text('{"train_runtime": 2.0}')
        rng = np.random.default_rng(len(rates))
        write_predictions([Prediction(question.id, tuple(rng.random(3))) for question in toy.test], out)
        return "".join(f"INFO: head: {head}, 1,234 parameters, fresh\n" for head in HEADS)

    monkeypatch.setattr(whole, "train_bash", train_bash)
    monkeypatch.setattr(head_rate, "EXAMS", {"toy": lambda folder: toy})

    def run(*words: str):
        place = ["--data", str(tmp_path), "--encoder", str(tmp_path), "--work", str(tmp_path / "work")]
        place += ["--out", str(tmp_path / "out.json"), "--seeds", "2"]
        monkeypatch.setattr(sys, "argv", ["head_rate.py", *place, *words])
        head_rate.main()
        return json.loads((tmp_path / "out.json").read_text()), rates

    return run


def test_its_result_has_the_keys_of_the_committed_one(run_head_rate):
    """benchmarks/results/head_rate.json had no script: nobody could repeat it."""
    result, _ = run_head_rate("--", "--infer_dtype", "float32")
    committed = json.loads((ROOT / "benchmarks" / "results" / "head_rate.json").read_text())
    assert list(result) == list(committed)
    for of_head in ("linear", "cduma", "duma"):
        expected, row = (
            next(row for row in stored["rows"] if row["head"] == of_head) for stored in (committed, result)
        )
        assert list(row) == list(expected)
    combinations = {(row["head"], row["loss"]) for row in committed["rows"]}
    assert {(row["head"], row["loss"]) for row in result["rows"]} == combinations
    assert {row["exam"] for row in result["rows"]} == {"toy", "toy, unseen texts"}
    assert result["command"] == (
        "python benchmarks/head_rate.py --data DATA --encoder ENCODER --rate 0.0001 "
        "--combinations cduma/cross_entropy duma/poly1 --seeds 2 -- --infer_dtype float32"
    )


def test_the_rate_is_for_co_attention_only(run_head_rate):
    """The command in head_rate.json gives STEP2's linear head the low rate, too."""
    _, rates = run_head_rate("--rate", "3e-5")
    assert rates == [("linear", "0.001"), ("cduma", "3e-05"), ("duma", "3e-05")] * 2


def test_step2_trainings_are_reused_if_they_scored_the_same_questions(run_head_rate, tmp_path):
    """Copied by hand, they could be of a different --data."""
    scores = [[1.0, 0.0, 0.0]] * len(toy_exam().test)
    stored = [Cell("encoder", "toy", *BASELINE, seed) for seed in (0, 1)]
    for cell in stored:
        save(Result(scores, 5.0, 385), cell, tmp_path / "step2" / "cells")
    _, rates = run_head_rate("--step2", str(tmp_path / "step2"))
    assert {head for head, _ in rates} == {"cduma", "duma"}
    assert load_all(tmp_path / "work" / "cells")[stored[0]].scores == scores
    save(Result(scores[1:], 5.0, 385), stored[1], tmp_path / "step2" / "cells")
    with pytest.raises(SystemExit, match="not for the 8 test questions"):
        run_head_rate("--step2", str(tmp_path / "step2"))
    stored[1].path(tmp_path / "step2" / "cells").unlink()
    with pytest.raises(SystemExit, match=r"no cells/encoder/toy/linear-cross_entropy-1\.json"):
        run_head_rate("--step2", str(tmp_path / "step2"))


def test_no_results_replace_no_results(run_head_rate, tmp_path):
    (tmp_path / "out.json").write_text("results")
    with pytest.raises(SystemExit, match="no results"):
        run_head_rate("--minutes", "0")
    assert (tmp_path / "out.json").read_text() == "results"


@pytest.mark.parametrize("pair", ["dumma/poly1", "linear/cross_entropy", "duma/poly"])
def test_an_unknown_combination_is_rejected_before_a_training(pair, run_head_rate, capsys):
    with pytest.raises(SystemExit):
        run_head_rate("--combinations", pair)
    assert f"--combinations {pair}: " in capsys.readouterr().err
