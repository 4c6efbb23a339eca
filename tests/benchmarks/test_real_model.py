"""The comparison on a real language model: sets without leaks, runs in order, a report that pairs questions."""

from __future__ import annotations

import json

import pytest
from real import report as reports
from real.retrieved import MADE
from real.rows import ROWS, runs_of
from real.runs import Run, Setting
from real.sets import CORES, POOLS, TABLE, Pool, Sizes, as_row, with_contexts_of_others, write_set

from llmtuner.data.load import read_questions
from llmtuner.data.question import Question
from llmtuner.data.split import question_key
from llmtuner.studies.sweep import PIECE, Sweep


def question(number, text=None, context=""):
    return Question(str(number), text or f"question {number}", ("x", "y"), number % 2, context=context)


@pytest.fixture
def setting(tmp_path):
    return Setting(model="MODEL", template="smollm2", encoder="ENCODER", work=tmp_path)


def test_every_set_of_a_row_is_written_by_something():
    known = {*POOLS, *MADE}
    assert {name for row in ROWS.values() for name in row.sets} <= known
    assert {*POOLS} <= {*CORES} & {*TABLE}


def test_no_training_question_is_scored(tmp_path, monkeypatch):
    """ScienceQA repeats 286 texts of its validation questions in its training questions."""
    train = [question(n) for n in range(40)]
    test = [question(100 + n, text=f"Question  {n}" if n < 20 else None) for n in range(30)]
    monkeypatch.setitem(POOLS, "made", lambda data: Pool(train, test))
    written = write_set("made", tmp_path, tmp_path, Sizes(100, 30))
    files = {
        part: read_questions(tmp_path / "made" / f"{part}.jsonl", purpose="predict").questions
        for part in ("train", "test")
    }
    assert written == {"train": 20, "test": 30, "test_300": 30}
    keys = {part: {question_key(each.question) for each in rows} for part, rows in files.items()}
    assert not keys["train"] & keys["test"]
    before = (tmp_path / "made" / "train.jsonl").read_bytes()
    write_set("made", tmp_path, tmp_path, Sizes(100, 30))
    assert (tmp_path / "made" / "train.jsonl").read_bytes() == before


def test_a_question_is_the_same_about_another_context_unless_the_set_says_otherwise():
    """DREAM asks "What does the man mean?" about many dialogues; without them most of it would be left out."""
    rows = [question(n, "What does he mean?", f"dialogue {n}") for n in range(5)]
    assert len(Pool().drawn(rows, 9)) == 1
    assert len(Pool(by_context=True).drawn(rows, 9)) == 5


def test_contexts_of_others_are_others():
    rows = [question(n, context=f"passage {n // 2}") for n in range(10)]
    moved = with_contexts_of_others(rows)
    assert [each.id for each in moved] == [each.id for each in rows]
    assert all(a.context != b.context for a, b in zip(rows, moved, strict=True))


def test_a_row_is_read_back():
    each = Question("7", "Which?", ("a", "b", "c"), 2, context="A passage.")
    assert as_row(each) == {
        "id": "7",
        "prompt": "Which?",
        "context": "A passage.",
        "A": "a",
        "B": "b",
        "C": "c",
        "answer": "C",
    }


def test_the_real_sets(real_data, tmp_path):
    """The counts that docs/results name; learning rates are chosen on questions that no other set has."""
    texts = {}
    for name in ("arc_easy", "qasc", "kaggle", "rates", "dream"):
        written = write_set(name, real_data, tmp_path, CORES[name])
        assert (written["train"], written["test"]) == (CORES[name].train, CORES[name].test)
        for part in ("train", "test"):
            rows = read_questions(tmp_path / name / f"{part}.jsonl", purpose="predict").questions
            texts[name, part] = {question_key(each.question) for each in rows}
    assert not texts["arc_easy", "train"] & texts["arc_easy", "test"]
    of_rates = texts["rates", "train"] | texts["rates", "test"]
    assert not of_rates & (texts["kaggle", "train"] | texts["kaggle", "test"])
    first = (tmp_path / "arc_easy" / "test.jsonl").read_text().splitlines()[0]
    assert not json.loads(first)["prompt"].startswith("Question:")


@pytest.mark.parametrize("name", ROWS)
def test_runs_of_a_row_have_folders_of_their_own(setting, name):
    seeds = (1, 2) if ROWS[name].seeds > 1 else (1,)
    runs = [run for seed in seeds for run in runs_of([name], setting, seed)]
    assert len({run.piece.folder for run in runs}) == len(runs) > 0
    assert runs_of([name], setting, 99) == []


def test_what_starts_from_a_training_waits_for_it(setting):
    runs = {(run.way, run.reported): run for run in runs_of(["steps"], setting, 1) if run.set == "qasc"}
    train, letters = runs["step1_train", False], runs["step1", True]
    assert (train.wave, letters.wave) == (0, 1)
    assert letters.needs == train.piece.folder
    assert not letters.can_start()
    train.piece.folder.mkdir(parents=True)
    (train.piece.folder / PIECE).write_text("{}")
    assert letters.can_start()
    assert str(train.piece.folder) in letters.sweep.words


def predict(setting, way, seed, scores, file="data/s/test.jsonl"):
    """A finished run whose scores are given; the answer is always A."""
    sweep = Sweep(
        setting.work / "runs" / "steps" / "s" / way, ("--eval_dataset", str(setting.work / file)), {}, (seed,)
    )
    run = Run("steps", "s", way, sweep, seed)
    run.piece.folder.mkdir(parents=True)
    rows = [
        {
            "id": str(n),
            "ranking": "AB",
            "probabilities": {"A": 0.5, "B": 0.5},
            "scores": {"A": a, "B": 0.0},
            "answer": "A",
        }
        for n, a in enumerate(scores)
    ]
    (run.piece.folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run.piece.folder / "predict_results.json").write_text(json.dumps({"floor_random_map@3": 0.75, "predict_map@3": 1}))
    run.piece.finish({}, 3.0)
    return run


def test_the_report_pairs_questions_with_the_baselines(setting):
    runs = [predict(setting, "step2", 1, [1, 1, -1, -1]), predict(setting, "duma", 1, [1, 1, 1, -1])]
    runs.append(predict(setting, "duma", 2, [1, 1, 1, 1]))
    report = reports.report(runs, setting)
    of_set = report["rows"]["steps"]["s"]
    assert of_set["step2"]["scored"]["s/test"]["map@3"] == 0.75
    duma = of_set["duma"]["scored"]["s/test"]
    assert (duma["map@3"], duma["accuracy"], duma["map@3 of seeds"]) == (0.9375, 0.875, [0.875, 1.0])
    assert duma["difference"] == pytest.approx(0.1875)
    assert duma["difference interval"][0] <= 0.1875 <= duma["difference interval"][1]
    assert "difference" not in of_set["step2"]["scored"]["s/test"]
    assert of_set["duma"]["baselines"] == {"floor_random_map@3": 0.75}
    assert any("duma" in line and "+0.188" in line for line in reports.printed(report))
