"""scripts/folds.py as a user starts it, over a fake command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support import ROOT, load_script

from llmtuner.cli.flags import Flags
from llmtuner.cli.words import Words
from llmtuner.data.load import read_questions
from llmtuner.data.question import Question
from llmtuner.data.read_as import AS_IT_IS, merged_query
from llmtuner.data.trained import TrainedQuestions
from llmtuner.runs.trained import write_trained
from llmtuner.studies.folds import FoldStudy, write_data

FAKE = Path(__file__).with_name("fake_fold_run.py")


def rows(count: int, name: str = "q") -> list[dict]:
    """Questions whose words are their own, except that every tenth repeats the one before with its options turned."""
    made: list[dict] = []
    for number in range(count):
        if number % 10 == 9:
            before = made[-1]
            turned = {"A": before["D"], "B": before["C"], "C": before["B"], "D": before["A"]}
            made.append({**before, **turned, "id": f"{name}{number}", "answer": "DCBA"["ABCD".index(before["answer"])]})
            continue
        own = f"{name}{number * 7919}"
        options = {letter: f"{own} {letter * 3} {number}" for letter in "ABCD"}
        text = f"Why does {own} of {own} begin with {number} in {own}s?"
        made.append({"id": f"{name}{number}", "prompt": text, **options, "answer": "ABCD"[number % 4]})
    return made


def save(path: Path, content: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


@pytest.fixture
def folds(tmp_path, monkeypatch, tiny_llama, capsys):
    """Runs scripts/folds.py in `tmp_path`/out over the fake command; returns status, stdout and stderr."""
    monkeypatch.setattr("llmtuner.studies.jobs.ENTRY_POINT", FAKE)
    save(tmp_path / "exam.jsonl", rows(80))

    def run(*own: str, data: str = "", more: tuple[str, ...] = (), count: int = 4) -> tuple[int, str, str]:
        words = ["--model_name_or_path", str(tiny_llama), "--stage", "mcq", "--template", "llama2"]
        words += ["--dataset", data or str(tmp_path / "exam.jsonl"), *more]
        arguments = ["--folds", str(count), "--out", str(tmp_path / "out"), *own, "--", *words]
        return load_script("folds").main(arguments), *capsys.readouterr()

    return run


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def commands_of(folder: Path) -> dict[str, list[dict]]:
    return {file.stem: lines_of(file) for file in sorted(folder.glob("*.commands"))}


def test_every_question_is_predicted_once_by_a_model_that_did_not_see_it_or_its_repeat(folds, tmp_path):
    status, printed, err = folds()
    assert status == 0, err
    out = tmp_path / "out"
    fold_of = json.loads((out / "folds.json").read_text())
    assert list(fold_of) == [row["id"] for row in rows(80)]
    for fold in range(4):
        trained, predicted = (
            {row["question"] for row in lines_of(out / f"data/fold-{fold}.{kind}.jsonl")}
            for kind in ("train", "predict")
        )
        assert trained
        assert predicted
        assert not trained & predicted
        [training, prediction] = commands_of(out)[f"fold-{fold}"]
        assert (training["step"], prediction["step"]) == ("train", "predict")
        assert training["dataset"].startswith(str(out / f"data/fold-{fold}.train.jsonl"))
        assert "eval_dataset" not in training, "the best checkpoint would be chosen by the held-out questions"
        assert prediction["eval_dataset"].startswith(str(out / f"data/fold-{fold}.predict.jsonl"))
        assert prediction["adapter_name_or_path"] == str(out / f"fold-{fold}")
    predictions = lines_of(out / "predictions.jsonl")
    assert [(row["id"], row["answer"]) for row in predictions] == [(row["id"], row["answer"]) for row in rows(80)]
    assert all(row["ranking"][0] == row["answer"] for row in predictions if not row["id"].endswith("9"))
    assert len({row["digest"] for row in predictions}) > 70, "the report and the audit know their questions by it"
    results = json.loads((out / "results.json").read_text())
    expected = (72 + 8 / 2) / 80  # ids that end with 9 have the right option at rank 2
    assert results["out_of_fold"]["map@3"] == pytest.approx(expected)
    assert results["out_of_fold"]["map@3_low"] < expected < results["out_of_fold"]["map@3_high"]
    assert [each["fold"] for each in results["each"]] == [0, 1, 2, 3]
    assert (results["groups"], results["largest_group"]) == (72, 2)
    assert f"{expected:.3f}" in next(line for line in printed.splitlines() if line.startswith("out of fold"))
    stated = json.loads((out / "predict_results.json").read_text())
    assert stated["predict_map@3"] == pytest.approx(expected)
    assert "floor_longest_map@3" in stated


def test_the_audit_takes_the_predictions_as_they_are(folds, tmp_path, capsys):
    """Confident learning needs out-of-fold probabilities; here every tenth answer is contradicted."""
    assert folds()[0] == 0
    arguments = [str(tmp_path / "exam.jsonl"), "--predictions", str(tmp_path / "out/predictions.jsonl")]
    assert load_script("audit_mcq").main([*arguments, "--no_html", "--no_near", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["label_errors"]
    assert found["looked_at"] == 80
    assert found["suspects"]
    assert {suspect["row"]["line"] % 10 for suspect in found["suspects"]} == {0}


def test_questions_that_the_model_was_trained_on_before_are_said(folds, tmp_path, tiny_llama):
    """Out-of-fold scores of an adapter that knew the answers were printed without a word; only the logs had it."""
    model = shutil.copytree(tiny_llama, tmp_path / "model")
    known = read_questions(tmp_path / "exam.jsonl", purpose="train").questions[:20]
    write_trained(TrainedQuestions.of(known), model)
    status, _, err = folds(more=("--model_name_or_path", str(model)))
    assert status == 0
    assert err.count("note: 20 of 80 scored questions are also in the training data") == 1


def test_several_data_sets_with_equal_ids_are_keyed_by_both(folds, tmp_path, capsys):
    save(tmp_path / "a.jsonl", rows(30))
    save(tmp_path / "b.jsonl", [{**row, "prompt": f"Other {row['id']}x{row['prompt']}"} for row in rows(25, "z")])
    second = [{**row, "id": row["id"].replace("z", "q")} for row in lines_of(tmp_path / "b.jsonl")]
    save(tmp_path / "b.jsonl", second)
    names = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    status, _, err = folds(data=",".join(names), count=3)
    assert status == 0, err
    fold_of = json.loads((tmp_path / "out/folds.json").read_text())
    expected = [(name, f"q{q}") for name, count in zip(names, (30, 25), strict=True) for q in range(count)]
    assert list(fold_of) == [f"{dataset}/{name}" for dataset, name in expected]
    predictions = lines_of(tmp_path / "out/predictions.jsonl")
    assert [(row["dataset"], row["id"]) for row in predictions] == expected
    audit = [*names, "--predictions", str(tmp_path / "out/predictions.jsonl"), "--no_html", "--no_near", "--json"]
    assert load_script("audit_mcq").main(audit) == 0
    assert json.loads(capsys.readouterr().out)["label_errors"]["looked_at"] == 55


def test_what_is_done_is_not_done_again(folds, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_STATUS", "fold-2:1")
    status, printed, err = folds()
    assert status == 1
    assert "fold-2 is bad" in err
    assert "3 of 4 folds are done" in printed
    assert not (tmp_path / "out/predictions.jsonl").exists(), "a part of the questions is no prediction of all"
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert (results["done"], results["failed"]) == ([0, 1, 3], {"fold-2": 1})
    monkeypatch.delenv("FAKE_STATUS")
    status, _, err = folds()
    assert status == 0
    assert "4 folds, 3 of them done" in err
    assert {name: len(each) for name, each in commands_of(tmp_path / "out").items()} == dict.fromkeys(
        ("fold-0", "fold-1", "fold-2", "fold-3"), 2
    )
    assert len(lines_of(tmp_path / "out/predictions.jsonl")) == 80


def test_another_start_in_the_folder_is_refused(folds, tmp_path):
    """Folds of two divisions, flags or data together would be out-of-fold predictions of nothing."""
    assert folds()[0] == 0
    before = (tmp_path / "out/predictions.jsonl").read_bytes()
    for arguments, message in (
        ({"count": 5}, "with --folds 4, not 5"),
        ({"more": ("--num_train_epochs", "3")}, "other flags"),
    ):
        status, _, err = folds(**arguments)
        assert status == 2
        assert message in err
    assert "with --seed 0, not 1" in folds("--seed", "1")[2]
    save(tmp_path / "exam.jsonl", rows(80)[::-1])
    status, _, err = folds()
    assert status == 2
    assert "another dataset" in err
    assert (tmp_path / "out/predictions.jsonl").read_bytes() == before
    assert folds("--overwrite")[0] == 0
    assert next(iter(json.loads((tmp_path / "out/folds.json").read_text()))) == "q79"


def test_predictions_that_a_later_run_replaced_are_named(folds, tmp_path):
    """A prediction by hand in a fold's folder went into the out-of-fold score as if its model had made it."""
    assert folds()[0] == 0
    path = tmp_path / "out/fold-2/predictions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[1:] + lines[:1]))
    status, printed, err = folds()
    assert status == 2
    assert not printed
    assert "fold-2: its predictions are not those that it ended with" in err


@pytest.mark.parametrize("content", ["", "[]", '{"predictions": null}', '{"seconds": "3"}'])
def test_a_damaged_record_of_a_fold_is_named(folds, tmp_path, content):
    """It was a traceback."""
    assert folds()[0] == 0
    (tmp_path / "out/fold-1/piece.json").write_text(content)
    status, _, err = folds()
    assert status == 2
    assert "fold-1/piece.json" in err
    assert "delete it" in err


def test_another_tokenizer_is_refused(folds, tmp_path, tiny_llama):
    """Only weights were compared: folds of two tokenizers were put together as one prediction."""
    model = shutil.copytree(tiny_llama, tmp_path / "model")
    more = ("--model_name_or_path", str(model))
    assert folds(more=more)[0] == 0
    path = model / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=3))
    status, _, err = folds(more=more)
    assert status == 2
    assert "was begun with another tokenizer" in err


def test_a_config_file_that_was_edited_is_refused(folds, tmp_path, tiny_llama, capsys):
    """Only its name was compared: folds of two learning rates were put together as one prediction."""
    config, out = tmp_path / "run.yaml", tmp_path / "out"
    arguments = ["--folds", "4", "--out", str(out), "--", str(config), "stage=mcq", "template=llama2"]
    arguments += [f"model_name_or_path={tiny_llama}"]
    config.write_text(f"dataset: {tmp_path}/exam.jsonl\nlearning_rate: 1.0e-3\n")
    for _ in range(2):
        assert load_script("folds").main(arguments) == 0
    config.write_text(f"dataset: {tmp_path}/exam.jsonl\nlearning_rate: 5.0e-2\n")
    capsys.readouterr()
    assert load_script("folds").main(arguments) == 2
    assert "other flags (--learning_rate=" in capsys.readouterr().err


def test_examples_from_the_data_are_refused_before_the_first_training(folds, tmp_path):
    """Each prediction was refused, after its training: an example was among the questions that it scored."""
    status, _, err = folds(more=("--mcq_shots", "2", "--mcq_shots_from", str(tmp_path / "exam.jsonl")))
    assert status == 2
    assert "2 of the 80 scored questions are also shots" in err
    assert not (tmp_path / "out").exists()


def test_orders_of_the_options_are_of_the_predictions(folds, tmp_path):
    """Each training was refused: "add --do_predict", which the folds add to the prediction alone."""
    status, _, err = folds(more=("--mcq_head", "letter", "--mcq_option_orders", "2", "--val_size", "0.1"))
    assert status == 0, err
    for training, prediction in commands_of(tmp_path / "out").values():
        assert "mcq_option_orders" not in training
        assert prediction["mcq_option_orders"] == "2"


def test_replaced_predictions_are_named_before_the_next_fold_runs(folds, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_STATUS", "fold-1:1")
    assert folds()[0] == 1
    monkeypatch.delenv("FAKE_STATUS")
    path = tmp_path / "out/fold-0/predictions.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    status, _, err = folds()
    assert status == 2
    assert "fold-0: its predictions are not those that it ended with" in err
    assert not (tmp_path / "out/fold-1").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"more": ("--mcq_option_orders", "2")}, "--mcq_option_orders 2: "),
        ({"more": ("--mcq_duma_width", "64")}, "--mcq_duma_width 64: "),
        ({"more": ("--output_dir", "x")}, "--output_dir: the folds set it"),
        ({"more": ("--eval_dataset", "x.csv")}, "--eval_dataset: the folds set it"),
        ({"more": ("--max_samples", "9")}, "folds divide whole data sets"),
        ({"count": 73}, "80 questions in 72 groups"),
        ({"count": 1}, "at least 2"),
        ({"more": ("--learning_rate", "fast")}, "learning_rate"),
    ],
)
def test_mistakes_write_nothing(folds, tmp_path, arguments, message):
    status, _, err = folds(**arguments)
    assert status == 2
    assert message in err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(folds, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("x")
    for own in ((), ("--overwrite",)):
        status, _, err = folds(*own)
        assert status == 2
        assert "not the folder of folds" in err
    assert (tmp_path / "out/mine.txt").exists()


def test_a_start_that_was_killed_before_its_manifest_goes_on(folds, tmp_path):
    """The same command was refused: not empty, and not the folder of folds."""
    data = tmp_path / "out/data"
    data.mkdir(parents=True)
    (data / "fold-0.train.jsonl").write_text("{}\n")
    (data / ".fold-0.predict.jsonl.12-0123abcd").write_text("{")
    (tmp_path / "out/.lock").write_text("{}")
    status, _, err = folds()
    assert status == 0, err
    assert len(lines_of(tmp_path / "out/predictions.jsonl")) == 80


def test_overwrite_deletes_nothing_but_folds(folds, tmp_path):
    """It deleted every file whose name begins with "fold-", notes of the user included."""
    assert folds()[0] == 0
    (tmp_path / "out/fold-notes.txt").write_text("x")
    status, _, err = folds("--overwrite", count=3)
    assert status == 0, err
    assert (tmp_path / "out/fold-notes.txt").exists()
    assert not (tmp_path / "out/fold-3").exists()
    assert not [*(tmp_path / "out").glob("fold-3.*.log")]


def test_a_folder_with_data_of_another_kind_is_left_alone(folds, tmp_path):
    (tmp_path / "out/data").mkdir(parents=True)
    (tmp_path / "out/data/mine.txt").write_text("x")
    status, _, err = folds()
    assert status == 2
    assert "not the folder of folds" in err


def test_a_file_of_json_that_cannot_be_written_is_refused_before_the_first_fold(folds, tmp_path):
    """After the last training it was a traceback; a file of something else was replaced."""
    (tmp_path / "mine.json").write_text("[]")
    for path, message in (("none/x.json", "does not exist"), ("mine.json", "exists"), (".", "is a folder")):
        status, _, err = folds("--json", str(tmp_path / path))
        assert status == 2
        assert message in err
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "mine.json").read_text() == "[]"


def test_a_study_that_goes_on_replaces_its_own_json(folds, tmp_path):
    for _ in range(2):
        status, _, err = folds("--json", str(tmp_path / "own.json"))
        assert status == 0, err
    assert json.loads((tmp_path / "own.json").read_text())["done"] == [0, 1, 2, 3]


def test_a_repeated_id_is_refused(folds, tmp_path):
    content = rows(40)
    content[7]["id"] = "q3"
    save(tmp_path / "exam.jsonl", content)
    status, _, err = folds()
    assert status == 2
    assert "repeat id 'q3'" in err


def test_the_files_of_a_fold_hold_the_questions_as_they_are(tmp_path):
    """A text that is changed on the way trains another model: labels in options, blanks, numbers, line ends."""
    odd = [
        Question("007", "Which  blood\tgroup?\r\n", ("A", "B", "AB", "0"), 1, context="  two\n\nlines "),
        Question("None", "null", ("A) 4.50", "B) 4.5", "C) 1e3"), 2),
        Question("3", "blank last", ("x", "", "  "), 0),
        Question("4", "\u2028 \ufeff ?", ("\u00bd", "\u200b"), 1),
        Question("5", "ten", tuple("abcdefghij"), 9),
        Question("6", "soft", ("x", "y"), 1, probabilities=(0.75, 0.25), weight=0.5),
    ]
    study = FoldStudy(tmp_path, [], 2)
    write_data(study, odd, {"007": 0, "None": 0, "3": 1, "4": 1, "5": 1, "6": 1})
    for kind, expected in (("predict", odd[:2]), ("train", odd[2:])):
        path = study.data(0, kind)
        read = read_questions(path, purpose="train", read_as=merged_query(AS_IT_IS, "answer_base=0", str(path)))
        placed = [replace(question, file=str(path), line=line) for line, question in enumerate(expected, start=1)]
        assert list(read.questions) == placed


def test_sigterm_stops_and_the_same_command_goes_on(folds, tmp_path, tiny_llama):
    script = f"""
import sys
sys.path[:0] = [{str(ROOT / "src")!r}, {str(ROOT / "tests")!r}]
from pathlib import Path
import llmtuner.studies.jobs as jobs
jobs.ENTRY_POINT = Path({str(FAKE)!r})
from support import load_script
sys.exit(load_script("folds").main(sys.argv[1:]))
"""
    words = ["--folds", "4", "--out", str(tmp_path / "out"), "--", "--model_name_or_path", str(tiny_llama)]
    words += ["--stage", "mcq", "--template", "llama2", "--dataset", str(tmp_path / "exam.jsonl")]
    slow = {**os.environ, "FAKE_SLEEP": "30"}
    process = subprocess.Popen([sys.executable, "-c", script, *words], env=slow, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if (tmp_path / "out/fold-0.train.log").exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "goes on from here" in err
    assert folds()[0] == 0
    assert len(lines_of(tmp_path / "out/predictions.jsonl")) == 80


def test_examples_from_another_file_are_read_with_the_given_base(tmp_path):
    """--mcq_answer_base was dropped, so that each example was taught with the option before its answer."""
    given = Words.from_argv(
        ["--stage", "mcq", "--dataset", "q.csv", "--mcq_answer_base", "1", "--mcq_shots_from", "shots.csv"]
    )
    study = FoldStudy(tmp_path, [], 2)
    for command in study.job(0, given).commands:
        flags = Flags.of(Words.from_argv(command.words)).with_answer_base()
        assert flags["mcq_shots_from"] == "shots.csv?answer_base_default=1"
        names = [flags[name] for name in ("dataset", "eval_dataset") if name in flags]
        assert all(name.endswith(".jsonl?answer_base=0") for name in names), "the files of the folds count from 0"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("manifest.json", {"flags": 7}, "not the manifest of folds"),
        ("manifest.json", {"inputs": []}, "not the manifest of folds"),
        ("folds.json", {"q0": [1]}, "does not fit the data"),
    ],
)
def test_a_file_of_the_study_that_was_edited_is_refused(folds, tmp_path, name, change, message):
    """It was a traceback."""
    assert folds()[0] == 0
    path = tmp_path / "out" / name
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    status, _, err = folds()
    assert status == 2
    assert message in err


def test_a_token_is_not_stored(folds, tmp_path, monkeypatch):
    """manifest.json and results.json held it."""
    monkeypatch.setenv("HF_TOKEN", "")  # the check of the flags puts it there
    assert folds(more=("--hub_token", "hf_secret"))[0] == 0
    assert folds(more=("--hub_token", "hf_renewed"))[0] == 0
    assert not any("hf_" in path.read_text() for path in (tmp_path / "out").glob("*.json"))
