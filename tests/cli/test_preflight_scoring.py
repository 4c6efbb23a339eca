"""Which questions a run scores, and which its model was trained on, before a model is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight_scoring import scoring_warnings
from llmtuner.cli.record import planned_manifest
from llmtuner.cli.words import Words
from llmtuner.data import read_questions
from llmtuner.data.trained import TrainedQuestions
from llmtuner.errors import UserError
from llmtuner.runs.manifest import RUN_MANIFEST, Manifest, write_manifest
from llmtuner.runs.trained import write_trained


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


def trained_model(folder, questions, **manifest):
    """A folder with the records of a training."""
    folder.mkdir()
    given = {"stage": "mcq", "step": 1, "max_steps": 1, "epoch": 1.0, **manifest}
    write_manifest(Manifest(**given), folder / RUN_MANIFEST)
    write_trained(TrainedQuestions.of(questions), folder)
    return {"do_predict": "true", "model_name_or_path": "base", "adapter_name_or_path": str(folder)}


def test_a_prediction_counts_the_questions_that_its_model_was_trained_on(files, tmp_path):
    """The data may be on another machine, have changed, or have been read from another working directory."""
    train, test = files
    flags = trained_model(tmp_path / "model", read_questions(train, purpose="train").questions)
    Path(train).unlink()
    assert warnings(do_predict="true", eval_dataset=test, model_name_or_path="base") == ()
    (line,) = warnings(**flags, eval_dataset=test)
    assert "20 of 60 scored questions are also in the training data" in line


def test_the_questions_of_earlier_trainings_count_in_a_training_too(files, tmp_path):
    train, test = files
    elsewhere = write(tmp_path / "other.jsonl", range(500, 560), "A")
    flags = trained_model(tmp_path / "step1", read_questions(train, purpose="train").questions)
    flags |= {"do_train": "true", "do_predict": "false", "dataset": elsewhere}
    assert any("20 of 60" in line for line in warnings(**flags, eval_dataset=test))


def test_the_answers_of_the_last_training_are_looked_at_for_a_single_place(files, tmp_path):
    flags = trained_model(tmp_path / "model", [], answer_places={"A": 30})
    assert "all 30 answers of the training questions are A" in warnings(**flags, eval_dataset=files[1])[0]


def test_a_damaged_list_of_trained_questions_is_named(files, tmp_path):
    flags = trained_model(tmp_path / "model", [])
    (tmp_path / "model" / "trained_questions.txt").write_text("0123\n")
    with pytest.raises(UserError, match=r"trained_questions\.txt: damaged: line 1: .* copy the file again"):
        warnings(**flags, eval_dataset=files[1])


def test_a_held_out_part_is_scored_and_the_rest_trained_on(tmp_path):
    train = write(tmp_path / "a.jsonl", range(60), "A")
    trained, scored = warnings(do_train="true", dataset=train, val_size="0.5")
    assert "all 30 answers of the training questions are A" in trained
    assert "all 30 answers of the scored questions are A" in scored
