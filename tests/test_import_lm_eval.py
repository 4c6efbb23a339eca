"""scripts/import_lm_eval.py: the files of a prediction, which compare.py reads beside this project's own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support import load_script

from llmtuner.data.predictions import Prediction, write_predictions
from llmtuner.metrics import accuracy, map_at_k
from llmtuner.runs.lock import locked

SUMS = [[-3.0, -1.0, -2.0, -9.0], [-1.0, -2.0, -3.0, -4.0], [-5.0, -5.0, -1.0, -8.0]]
ANSWERS = [0, 0, 1]
TEXTS = ["one", "twenty", "three hundred", "four"]


def samples(path: Path, sums: list[list[float]] = SUMS) -> str:
    lines = [
        json.dumps(
            {
                "doc_id": row,
                "doc": {"id": f"0{row}"},
                "target": str(ANSWERS[row]),
                "arguments": {f"gen_args_{n}": {"arg_0": "Q", "arg_1": f" {text}"} for n, text in enumerate(TEXTS)},
                "filtered_resps": [[str(total), "False"] for total in sums[row]],
                "acc": float(sums[row].index(max(sums[row])) == ANSWERS[row]),
            }
        )
        for row in range(len(sums))
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def run(*arguments: str) -> int:
    return load_script("import_lm_eval").main(list(arguments))


@pytest.mark.parametrize("norm", ["sum", "char"])
def test_the_files_of_a_prediction_are_written(tmp_path, norm, capsys):
    out = tmp_path / "out"
    assert run(samples(tmp_path / "s.jsonl"), "--out", str(out), "--norm", norm) == 0
    names = {path.name for path in out.iterdir()}
    assert {"predictions.jsonl", "predict_results.json", "submission.csv"} <= names
    scores = SUMS if norm == "sum" else [[s / len(t) for s, t in zip(row, TEXTS, strict=True)] for row in SUMS]
    results = json.loads((out / "predict_results.json").read_text())
    assert results["predict_map@3"] == map_at_k(scores, ANSWERS)
    assert results["predict_accuracy"] == accuracy(scores, ANSWERS)
    assert results["predict_map@3_low"] <= results["predict_map@3"] <= results["predict_map@3_high"]
    assert results["mcq_likelihood_norm"] == norm
    assert results["floor_longest_accuracy"] == 0.0, "the longest option is never right"
    assert results["floor_place_from"] == "scored"
    assert "floor_random_map@3" in results
    first = json.loads((out / "predictions.jsonl").read_text().splitlines()[0])
    assert first["loglikelihood"] == dict(zip("ABCD", SUMS[0], strict=True))
    assert first["scores"] == dict(zip("ABCD", scores[0], strict=True))
    if norm == "sum":
        assert (out / "submission.csv").read_text().splitlines() == [
            "id,prediction",
            "00,B C A",
            "01,A B C",
            "02,C A B",
        ]
    assert "longest option" in capsys.readouterr().out


def test_an_imported_run_is_compared_with_an_own_one(tmp_path, capsys):
    """Ids are text: 00 joins with 00 only."""
    out, own = tmp_path / "harness", tmp_path / "own"
    assert run(samples(tmp_path / "s.jsonl"), "--out", str(out)) == 0
    right = [tuple(float(n == answer) for n in range(4)) for answer in ANSWERS]
    rows = zip(right, ANSWERS, strict=True)
    write_predictions([Prediction(f"0{row}", scores, answer) for row, (scores, answer) in enumerate(rows)], own)
    (own / "predict_results.json").write_text(json.dumps({"predict_map@3": 1.0, "predict_accuracy": 1.0}))
    capsys.readouterr()
    compare = load_script("compare").main
    assert compare([str(own), str(out), "--json"]) == 0
    [pair] = json.loads(capsys.readouterr().out)["pairs"]
    assert pair["map@3"]["difference"] == pytest.approx(1 - map_at_k(SUMS, ANSWERS))
    assert pair["accuracy"]["difference"] == pytest.approx(2 / 3)
    text = (own / "predictions.jsonl").read_text()
    (own / "predictions.jsonl").write_text(text.replace('"00"', '"0"'))
    assert compare([str(own), str(out)]) == 2
    assert "harness was scored on other questions than own, and has no id '0'" in capsys.readouterr().err


def test_a_folder_with_files_is_replaced_only_if_it_is_said(tmp_path, capsys):
    out = tmp_path / "out"
    file = samples(tmp_path / "s.jsonl")
    assert run(file, "--out", str(out)) == 0
    before = (out / "predictions.jsonl").read_bytes()
    (out / "notes.txt").write_text("mine")
    assert run(file, "--out", str(out), "--norm", "char") == 2
    assert f"--out {out}: is not empty; choose another folder, or pass --overwrite" in capsys.readouterr().err
    assert (out / "predictions.jsonl").read_bytes() == before
    assert run(file, "--out", str(out), "--norm", "char", "--overwrite") == 0
    assert (out / "predictions.jsonl").read_bytes() != before
    assert (out / "notes.txt").read_text() == "mine"
    assert run(file, "--out", file) == 2
    assert "is a file; choose a folder" in capsys.readouterr().err


def test_a_broken_file_leaves_nothing(tmp_path, capsys):
    path = tmp_path / "s.jsonl"
    samples(path)
    path.write_text(path.read_text() + '{"doc_id": 3\n')
    assert run(str(path), "--out", str(tmp_path / "out")) == 2
    assert f"error: {path}:4: not JSON" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run(str(tmp_path / "nowhere.jsonl"), "--out", str(tmp_path / "out")) == 2
    assert "nowhere.jsonl: not found" in capsys.readouterr().err


def test_a_second_import_into_the_folder_is_refused_and_told_who_writes(tmp_path, capsys):
    """Two at the same time mixed the files of two predictions."""
    with locked(tmp_path / "out", flag="--out"):
        assert run(samples(tmp_path / "s.jsonl"), "--out", str(tmp_path / "out"), "--overwrite") == 2
    assert f"out: another run writes to it (process {os.getpid()} on " in capsys.readouterr().err
