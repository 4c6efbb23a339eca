"""The comparisons of training data: open or closed book, with or without context, cleaned or raw."""

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
from evidence import arms, command_line
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


def test_the_gain_of_an_open_book_is_paired_by_seed_and_drawn_by_passage():
    rows = open_book.records("validation")
    letters = [row["answer"] for row in rows]
    right = [Prediction(r["id"], tuple(float(x == a) for x in "ABCDE")) for r, a in zip(rows, letters, strict=True)]
    second = [
        Prediction(r["id"], tuple(1.0 if x == a else 2.0 * (x == "ABCDE"[("ABCDE".index(a) + 1) % 5]) for x in "ABCDE"))
        for r, a in zip(rows, letters, strict=True)
    ]
    summary = open_book.summarise("validation", {"open": [right, second], "closed": [second[::-1], second]})
    assert (summary["questions"], summary["open"], summary["closed"]) == (len(rows), [1.0, 0.5], [0.5, 0.5])
    assert summary["difference"] == 0.25
    assert summary["interval"] == pytest.approx((0.0, 0.5)), "of two seeds, one gained by half and one by nothing"
    assert 0.3 < summary["floor_longest_map@3"] < 0.45


def test_a_closed_book_is_the_open_one_without_its_passages(tmp_path):
    open_book.write_books(tmp_path)
    for split in open_book.SPLITS:
        books = [
            [json.loads(line) for line in (tmp_path / book / f"{split}.jsonl").open(encoding="utf-8")]
            for book in ("open", "closed")
        ]
        assert all(row["context"] for row in books[0])
        assert [{**row, "context": ""} for row in books[0]] == books[1]


def test_no_training_set_has_a_scored_row_and_planted_rows_are_in_the_raw_set_only(tmp_path):
    raw = tmp_path / "kaggle"
    write_kaggle(raw, 80)
    files = cleaning.build_sets(Namespace(raw=raw, work=tmp_path / "work", plant=0.25))
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
    [("6000_train_examples.csv", "has a 15k_gpt3.5-turbo.csv"), (None, "no 6000_train")],
)
def test_planted_rows_never_replace_a_file(existing, message, tmp_path, monkeypatch, capsys):
    """Planted rows replaced the 15,000 of a download; a rejected command claimed --work for its settings."""
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
    """After an answer changed, stored predictions were scored against the new answer."""
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
    with pytest.raises(SystemExit, match="has results for exam"):
        open_book.main()


def test_each_arm_is_compared_with_the_cleaned_one_seed_by_seed(tmp_path, monkeypatch, capsys):
    """The difference of one seed was reported as if it held for every seed."""
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

    monkeypatch.setattr(arms, "train_and_score", train_and_score)
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
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["cleaned"]["map@3"], result["uncleaned"]["map@3"]) == ([1.0, 1.0], [1.0, 0.5])
    assert (result["uncleaned"]["difference"], result["uncleaned"]["interval"]) == (-0.25, [-0.5, 0.0])
    assert (result["hq"]["difference"], result["seeds"], result["commit"]) == (0.0, [1, 2], ["abc"])
    assert "MAP@3 0.750, -0.250 [-0.500, +0.000] to cleaned" in capsys.readouterr().out


def test_books_trained_in_parallel_are_paired_by_seed(tmp_path, monkeypatch, capsys):
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

    monkeypatch.setattr(arms, "train_and_score", train_and_score)
    models = [str(tmp_path / f"model{seed}") for seed in (1, 2)]
    for model in models:
        Path(model).mkdir()
    words = ["open_book.py", "--models", *models, "--seeds", "1", "2", "--parallel", "3"]
    words += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", words)
    open_book.main()
    splits = json.loads((tmp_path / "out.json").read_text())["splits"]
    for split in open_book.SPLITS:
        assert splits[split]["open"] == [1.0, 1.0]
        assert splits[split]["closed"][0] == 1.0
        assert splits[split]["difference"] == pytest.approx((1 - splits[split]["closed"][1]) / 2)
    assert "test: closed " in capsys.readouterr().out


def test_hints_and_lectures_are_reported_apart_for_seeds_that_have_both_books(tmp_path):
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
    scores |= {("closed", 2): [right] * 4, ("open", 3): [wrong] * 4}  # seed 3 has only one book
    for (book, seed), of_run in scores.items():
        folder = context.Run(1, seed, "mean", book).folder(work) / "validation"
        folder.mkdir(parents=True)
        write_predictions([Prediction(str(n), of_question) for n, of_question in enumerate(of_run)], folder)
        (folder.parent / command_line.MADE_BY).write_text("{}")
    row, baselines = context.summarise(args)
    assert (row["seeds"], row["open_accuracy"], row["closed_accuracy"]) == (2, [1.0, 0.75], [0.75, 1.0])
    parts = {name: (part["questions"], part["difference"]) for name, part in row["parts"].items()}
    assert parts == {"all": (4, 0.0), "with a hint": (2, 0.125), "lecture only": (1, -0.25)}
    assert baselines["floor_random_accuracy"] == 0.5


def test_an_interrupted_run_is_repeated_and_a_finished_one_is_not(tmp_path, monkeypatch):
    """A run that was killed before it wrote its predictions counted as finished."""
    started: list[str] = []

    def run(flags, log, threads):
        started.append("train" if "--do_train" in flags else "predict")
        folder = Path(flags[flags.index("--output_dir") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").write_bytes(b"")
        if len(started) == 2:
            (folder / "predict_results.json").write_text("{}")
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
    assert command_line.made_by([tmp_path / "out"])["commit"] == ["commit 2"], "the commit at the start of the run"
    assert not list((tmp_path / "out").glob("*.safetensors"))
