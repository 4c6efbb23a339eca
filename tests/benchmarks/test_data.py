"""The comparisons of data: open book against closed, with context and without, cleaned against raw."""

from __future__ import annotations

import csv
import json
import random
import sys
from argparse import Namespace
from pathlib import Path

import cleaning
import context
import open_book
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evidence import command_line
from evidence.cells import claim, fingerprint

from llmtuner.data.duplicates import exact_key
from llmtuner.data.load import read_questions
from llmtuner.data.predictions import Prediction, write_predictions


def write_kaggle(raw: Path, rows: int) -> None:
    draw, words = random.Random(1), [f"word{n}" for n in range(900)]
    raw.mkdir()
    with (raw / "6000_train_examples.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", *"ABCDE", "answer"])
        for row in range(rows):
            options = [" ".join(draw.sample(words, 4)) for _ in "ABCDE"]
            writer.writerow([" ".join(["Which", *draw.sample(words, 12), "?"]), *options, "ABCDE"[row % 5]])


def test_an_open_books_gain_is_paired_and_by_passage():
    rows = open_book.records("validation")
    letters = [row["answer"] for row in rows]
    right = [Prediction(r["id"], tuple(float(x == a) for x in "ABCDE")) for r, a in zip(rows, letters, strict=True)]
    second = [
        Prediction(r["id"], tuple(1.0 if x == a else 2.0 * (x == "ABCDE"[("ABCDE".index(a) + 1) % 5]) for x in "ABCDE"))
        for r, a in zip(rows, letters, strict=True)
    ]
    found = open_book.summarise("validation", {"open": [right, second], "closed": [second[::-1], second]})
    assert (found["questions"], found["open"], found["closed"]) == (len(rows), [1.0, 0.5], [0.5, 0.5])
    assert found["difference"] == 0.25
    assert found["interval"] == pytest.approx((0.0, 0.5)), "of two seeds, one gained by half and one by nothing"
    assert 0.3 < found["floor_longest_map@3"] < 0.45


def test_closed_books_are_the_open_ones_without_their_passages(tmp_path):
    open_book.write_books(tmp_path)
    for split in open_book.SPLITS:
        books = [
            [json.loads(line) for line in (tmp_path / book / f"{split}.jsonl").open(encoding="utf-8")]
            for book in ("open", "closed")
        ]
        assert all(row["context"] for row in books[0])
        assert [{**row, "context": ""} for row in books[0]] == books[1]


def test_what_is_scored_is_in_no_training_set_and_what_was_planted_only_in_the_raw_one(tmp_path):
    raw = tmp_path / "kaggle"
    write_kaggle(raw, 80)
    files = cleaning.sets(Namespace(raw=raw, work=tmp_path / "work", plant=0.25))
    keys = {
        name: [exact_key(question) for question in read_questions(path, purpose="train").questions]
        for name, path in files.items()
    }
    assert all(not set(keys["valid"]) & set(keys[arm]) for arm in cleaning.ARMS)
    assert len(keys["uncleaned"]) - len(set(keys["uncleaned"])) == 20
    assert len(keys["uncleaned"]) + len(keys["valid"]) == 100
    assert len(keys["cleaned"]) + len(keys["valid"]) == 60, "both copies of a contradiction leave"


@pytest.mark.parametrize(
    ("existing", "message"),
    [("6000_train_examples.csv", "15k_gpt3.5-turbo.csv, and there is one"), (None, "no 6000_train")],
)
def test_planted_rows_take_no_files_place(existing, message, tmp_path, monkeypatch, capsys):
    """A download with the 15,000 lost them to the planted rows; what was refused stayed in --work's way."""
    write_kaggle(tmp_path / "kaggle", 20)
    (tmp_path / "kaggle" / "6k5").mkdir()
    (tmp_path / "kaggle" / "6000_train_examples.csv").rename(tmp_path / "kaggle" / "6k5" / (existing or "other.csv"))
    (tmp_path / "kaggle" / "15k_gpt3.5-turbo.csv").write_text("prompt,A,B,answer\n")
    words = ["cleaning.py", "--raw", str(tmp_path / "kaggle"), "--model", str(tmp_path), "--plant", "0.5"]
    monkeypatch.setattr(sys, "argv", [*words, "--work", str(tmp_path / "work")])
    with pytest.raises(SystemExit):
        cleaning.main()
    assert message in capsys.readouterr().err
    assert not (tmp_path / "work").exists()
    (tmp_path / "kaggle" / "15k_gpt3.5-turbo.csv").unlink()
    if existing:
        assert cleaning.plant(tmp_path / "kaggle", 0.5) == 10, "below a folder, as a download has it"


def test_predictions_for_another_exam_are_not_scored(tmp_path, monkeypatch):
    """A changed answer was scored with the predictions that were there."""
    monkeypatch.setattr(open_book, "EXAM", tmp_path)
    for split in open_book.SPLITS:
        (tmp_path / f"{split}.jsonl").write_text("{}")
    before = fingerprint(tmp_path.iterdir())
    (tmp_path / "test.jsonl").write_text("{ }")
    assert fingerprint(tmp_path.iterdir()) != before
    claim(tmp_path / "work", {"models": ["."], "seeds": [1], "flags": open_book.FLAGS.split(), "exam": before})
    monkeypatch.setattr(
        sys, "argv", ["open_book.py", "--models", ".", "--seeds", "1", "--work", str(tmp_path / "work")]
    )
    with pytest.raises(SystemExit, match="has results of exam"):
        open_book.main()


def test_each_arm_is_compared_with_the_cleaned_one_seed_by_seed(tmp_path, monkeypatch, capsys):
    """One seed's difference was reported as if another one would give the same."""
    write_kaggle(tmp_path / "kaggle", 80)
    trained = []

    def train_and_score(flags, model, train, tests, out, *, seed, threads):
        trained.append((out.parent.name, seed))
        questions = read_questions(tests["valid"], purpose="train").questions
        right = seed == 1 or train.stem != "uncleaned"  # of the raw rows, seed 2 learns the second place
        rows = [
            Prediction(q.id, tuple(2.0 * (n == (q.answer + (not right)) % 5) + (n == q.answer) for n in range(5)))
            for q in questions
        ]
        (out / "valid").mkdir(parents=True)
        write_predictions(rows, out / "valid")
        (out / command_line.MADE_BY).write_text('{"commit": "abc", "hardware": "none"}')

    monkeypatch.setattr(cleaning, "train_and_score", train_and_score)
    words = [
        "cleaning.py",
        "--raw",
        str(tmp_path / "kaggle"),
        "--model",
        str(tmp_path),
        "--plant",
        "0.25",
        "--seeds",
        "1",
        "2",
    ]
    words += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out.json"), "--parallel", "3"]
    monkeypatch.setattr(sys, "argv", words)
    cleaning.main()
    assert sorted(trained) == [(arm, seed) for arm in sorted(cleaning.ARMS) for seed in (1, 2)]
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["cleaned"]["map@3"], found["uncleaned"]["map@3"]) == ([1.0, 1.0], [1.0, 0.5])
    assert (found["uncleaned"]["difference"], found["uncleaned"]["interval"]) == (-0.25, [-0.5, 0.0])
    assert (found["hq"]["difference"], found["seeds"], found["commit"]) == (0.0, [1, 2], ["abc"])
    assert "MAP@3 0.750, -0.250 [-0.500, +0.000] to cleaned" in capsys.readouterr().out


def test_books_trained_side_by_side_are_summed_up_together(tmp_path, monkeypatch, capsys):
    def train_and_score(flags, model, train, tests, out, *, seed, threads):
        assert (train.parent.name, model) == (out.parent.name, str(tmp_path / f"model{seed}")), (
            "a book reads its own files"
        )
        for split in tests:
            rows = open_book.records(split)
            right = out.parent.name == "open" or seed == 1
            scores = [tuple(float((x == r["answer"]) == right) for x in "ABCDE") for r in rows]
            (out / split).mkdir(parents=True)
            write_predictions([Prediction(r["id"], s) for r, s in zip(rows, scores, strict=True)], out / split)
        (out / command_line.MADE_BY).write_text('{"commit": "abc", "hardware": "none"}')

    monkeypatch.setattr(open_book, "train_and_score", train_and_score)
    models = [str(tmp_path / f"model{seed}") for seed in (1, 2)]
    for model in models:
        Path(model).mkdir()
    words = ["open_book.py", "--models", *models, "--seeds", "1", "2", "--parallel", "3"]
    words += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", words)
    open_book.main()
    found = json.loads((tmp_path / "out.json").read_text())["splits"]
    for split in open_book.SPLITS:
        assert found[split]["open"] == [1.0, 1.0]
        assert found[split]["closed"][0] == 1.0
        assert found[split]["difference"] == pytest.approx((1 - found[split]["closed"][1]) / 2)
    assert "test: closed " in capsys.readouterr().out


def test_a_context_is_told_apart_by_what_it_is_and_only_where_both_books_have_run(tmp_path):
    rows = [
        {
            "question": f"Which is number {n}?",
            "choices": ["this", "that"],
            "answer": 0,
            "hint": hint,
            "lecture": lecture,
        }
        for n, (hint, lecture) in enumerate([("clue", "theory"), ("clue", "theory"), ("", "theory"), ("", "")])
    ]
    (tmp_path / "data" / "scienceqa").mkdir(parents=True)
    for name in ("train", "validation"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / "scienceqa" / f"{name}.parquet")
    work = tmp_path / "work"
    context.write_books(tmp_path / "data", work)
    texts = {
        book: [q.context for q in read_questions(work / book / "train.parquet", purpose="train").questions]
        for book in context.BOOKS
    }
    assert texts["closed"] == [""] * 4
    assert texts["hint"] == ["clue", "clue", "", ""]
    assert ["theory" in text for text in texts["open"]] == [True, True, True, False]

    args = Namespace(work=work, books=["closed", "open"], epochs=[1], poolings=["mean"], seeds=[1, 2, 3])
    right, wrong = (2.0, 1.0), (1.0, 2.0)
    scores = {
        ("open", 1): [right] * 4,
        ("closed", 1): [right, wrong, right, right],
        ("open", 2): [right, right, wrong, right],
    }
    scores |= {("closed", 2): [right] * 4, ("open", 3): [wrong] * 4}  # seed 3 has one book only
    for (book, seed), of_run in scores.items():
        place = context.Run(1, seed, "mean", book).place(work) / "validation"
        place.mkdir(parents=True)
        write_predictions([Prediction(str(n), found) for n, found in enumerate(of_run)], place)
        (place.parent / command_line.MADE_BY).write_text("{}")
    row, floors = context.summarise(args)
    assert (row["seeds"], row["open_accuracy"], row["closed_accuracy"]) == (2, [1.0, 0.75], [0.75, 1.0])
    parts = {name: (part["questions"], part["difference"]) for name, part in row["parts"].items()}
    assert parts == {"all": (4, 0.0), "with a hint": (2, 0.125), "lecture only": (1, -0.25)}
    assert floors["floor_random_accuracy"] == 0.5


def test_a_run_that_was_killed_is_done_again_and_a_whole_one_is_not(tmp_path, monkeypatch):
    """Results were taken for the end of a run, which was killed before its predictions were there."""
    started: list[str] = []

    def run(flags, log, threads):
        started.append("train" if "--do_train" in flags else "predict")
        place = Path(flags[flags.index("--output_dir") + 1])
        place.mkdir(parents=True, exist_ok=True)
        (place / "model.safetensors").write_bytes(b"")
        if len(started) == 2:
            (place / "predict_results.json").write_text("{}")
            raise KeyboardInterrupt
        return ""

    monkeypatch.setattr(command_line, "train_bash", run)
    monkeypatch.setattr(command_line, "commit", lambda: f"commit {len(started)}")
    given = ["--a", "1"], "model", tmp_path / "train", {"valid": tmp_path / "valid"}, tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        command_line.train_and_score(*given, seed=1, threads=1)
    assert not command_line.is_done(tmp_path / "out")
    for _ in range(2):
        command_line.train_and_score(*given, seed=1, threads=1)
    assert started == ["train", "predict"] * 2
    assert command_line.made_by([tmp_path / "out"])["commit"] == ["commit 2"], "the one that was there at the start"
    assert not list((tmp_path / "out").glob("*.safetensors"))
