"""Which questions a run scores, and which its model was trained on, before a model is loaded."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight_scoring import scoring_warnings, stored_trainings
from llmtuner.cli.record import planned_manifest
from llmtuner.cli.words import Words
from llmtuner.data.collect import trained_and_held_out
from llmtuner.runs.manifest import RUN_MANIFEST, DataDigest, Manifest, write_manifest


def write(path, numbers, answer=None):
    rows = [
        {
            "id": str(n),
            "prompt": f"{n}?",
            **{letter: f"{letter}{n}" for letter in "ABCDE"},
            "answer": answer or "ABCDE"[n % 5],
        }
        for n in numbers
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def files(tmp_path):
    return write(tmp_path / "train.jsonl", range(40, 140)), write(tmp_path / "test.jsonl", range(60))


def warnings(**flags):
    return scoring_warnings(Flags.of(Words({name: [word] for name, word in flags.items()})))


def test_a_training_compares_its_own_data_sets(files):
    train, test = files
    (line,) = warnings(do_train="true", dataset=train, eval_dataset=test)
    assert "20 of 60 scored questions are also in the training data" in line
    assert "10 of 50" in warnings(do_train="true", dataset=train, eval_dataset=test, max_samples="50")[0]
    assert warnings(do_train="true", dataset=train, val_size="0.5") == (), "split by question"


@pytest.mark.parametrize(("more", "count"), [({}, 100), ({"max_samples": "1"}, 1), ({"val_size": "0.25"}, 75)])
def test_the_manifest_counts_the_places_of_the_questions_that_are_trained_on(files, more, count):
    """With --max_samples 40, a later prediction had the baseline of all rows as that of the training data."""
    words = {"stage": ["mcq"], "do_train": ["true"], "dataset": [files[0]]}
    words |= {name: [word] for name, word in more.items()}
    assert sum(planned_manifest(Flags.of(Words(words)), None).answer_places.values()) == count


def test_a_prediction_looks_for_the_training_data_in_the_manifest(files, tmp_path):
    train, test = files
    settings = {"dataset": train, "max_samples": None}
    manifest = Manifest(stage="sft", step=1, max_steps=1, epoch=1.0, settings=settings)
    write_manifest(manifest, tmp_path / RUN_MANIFEST)
    flags = {"do_predict": "true", "eval_dataset": test, "model_name_or_path": "base"}
    assert warnings(**flags) == ()
    (line,) = warnings(**flags, adapter_name_or_path=str(tmp_path))
    assert "20 of 60" in line
    (tmp_path / "train.jsonl").unlink()
    assert warnings(**flags, adapter_name_or_path=str(tmp_path)) == (), "the data is on another machine"


def test_the_data_of_earlier_trainings_count_too(files, tmp_path):
    """STEP2 on top of a STEP1 that was trained on the scored questions had no warning."""
    train, test = files
    elsewhere = write(tmp_path / "other.jsonl", range(500, 560), "A")
    step1, step2 = tmp_path / "step1", tmp_path / "step2"
    for folder, settings in (
        (step1, {"dataset": train, "model_name_or_path": "base"}),
        (step2, {"dataset": elsewhere, "model_name_or_path": "base", "adapter_name_or_path": str(step1)}),
    ):
        folder.mkdir()
        write_manifest(Manifest(stage="mcq", step=1, max_steps=1, epoch=1.0, settings=settings), folder / RUN_MANIFEST)
    flags = {"do_predict": "true", "eval_dataset": test, "model_name_or_path": "base"}
    lines = warnings(**flags, adapter_name_or_path=str(step2))
    assert any("20 of 60 scored questions are also in the training data" in line for line in lines)
    flags = {"do_train": "true", "dataset": elsewhere, "eval_dataset": test, "model_name_or_path": "base"}
    assert any("20 of 60" in line for line in warnings(**flags, adapter_name_or_path=str(step1)))


def trained_model(folder, *words, **flags):
    """A folder with the manifest of a training."""
    planned = planned_manifest(Flags.of(Words({name: [word] for name, word in flags.items()})), None)
    folder.mkdir()
    write_manifest(replace(planned, step=1, max_steps=1), folder / RUN_MANIFEST)
    return {"do_predict": "true", "model_name_or_path": "base", "adapter_name_or_path": str(folder)}


def test_the_folder_of_an_earlier_training_may_be_gone(files, tmp_path):
    """Of STEP1, STEP2 and a merge, only STEP2's questions counted once STEP1's folder had moved, without a word."""
    train, test = files
    elsewhere = write(tmp_path / "other.jsonl", range(500, 560))
    trained_model(tmp_path / "step1", stage="sft", do_train="true", dataset=train)
    step2 = {"stage": "mcq", "do_train": "true", "dataset": elsewhere, "adapter_name_or_path": str(tmp_path / "step1")}
    trained_model(tmp_path / "step2", **step2)
    shutil.rmtree(tmp_path / "step1")
    step3 = {**step2, "adapter_name_or_path": str(tmp_path / "step2")}
    flags = trained_model(tmp_path / "step3", **step3) | {"eval_dataset": test}
    shutil.rmtree(tmp_path / "step2")
    assert "20 of 60" in warnings(**flags)[0]
    write(tmp_path / "train.jsonl", range(200, 300))
    assert f"{train}: changed since the model was trained on it" in warnings(**flags)[0]


def test_training_data_that_has_changed_is_no_evidence(files, tmp_path):
    """Built again with --hold_out, the data of a trained model no longer had the scored questions: the warning went."""
    train, test = files
    flags = trained_model(tmp_path / "model", stage="mcq", do_train="true", dataset=train) | {"eval_dataset": test}
    assert "20 of 60" in warnings(**flags)[0]
    write(tmp_path / "train.jsonl", range(200, 300))
    (line,) = warnings(**flags)
    assert line.startswith(f"{train}: changed since the model was trained on it, so whether scored questions")
    write(tmp_path / "train.jsonl", range(300))
    assert [line] == [*warnings(**flags)], "questions that were added later were not trained on"
    unanswered = tmp_path / "unanswered.jsonl"
    unanswered.write_text("".join(json.dumps({"prompt": f"q{n}", "A": "x", "B": "y"}) + "\n" for n in range(60)))
    assert warnings(**flags | {"eval_dataset": str(unanswered)}) == ()
    write(tmp_path / "train.jsonl", range(40, 140))
    assert "20 of 60" in warnings(**flags)[0], "the same content again"


def test_a_training_from_python_has_no_named_data(files, tmp_path):
    """Its model could not be scored by the command line: KeyError 'dataset'."""
    manifest = Manifest(stage="mcq", step=1, max_steps=1, epoch=1.0, data=DataDigest("a" * 64, 9), settings={})
    write_manifest(manifest, tmp_path / RUN_MANIFEST)
    flags = {"do_predict": "true", "eval_dataset": files[1], "model_name_or_path": "base"}
    assert warnings(**flags, adapter_name_or_path=str(tmp_path)) == ()


def test_the_training_data_is_found_from_another_working_directory(files, tmp_path, monkeypatch):
    """A relative --dataset was looked up where the prediction ran, and another file of that name was counted."""
    _, test = files
    monkeypatch.chdir(tmp_path)
    flags = trained_model(tmp_path / "model", stage="mcq", do_train="true", dataset="train.jsonl")
    other = tmp_path / "other"
    other.mkdir()
    write(other / "train.jsonl", range(60))
    monkeypatch.chdir(other)
    assert "20 of 60" in warnings(**flags, eval_dataset=test)[0]


def test_questions_that_the_training_held_out_were_not_trained_on(files, tmp_path):
    """A prediction on the part that --val_size held out had a warning for each of its questions."""
    train, _ = files
    settings = {"dataset": train, "val_size": 0.25, "seed": 3}
    manifest = Manifest(stage="mcq", step=1, max_steps=1, epoch=1.0, settings=settings)
    write_manifest(manifest, tmp_path / RUN_MANIFEST)
    (trained,) = stored_trainings([tmp_path]).questions
    assert len(trained) == 75
    expected = trained_and_held_out([train], "", max_samples=None, val_size=0.25, seed=3)[0]
    assert [question.id for question in trained] == [question.id for question in expected]


def test_a_held_out_part_is_scored_and_the_rest_trained_on(tmp_path):
    train = write(tmp_path / "a.jsonl", range(60), "A")
    trained, scored = warnings(do_train="true", dataset=train, val_size="0.5")
    assert "all 30 answers of the training questions are A" in trained
    assert "all 30 answers of the scored questions are A" in scored
