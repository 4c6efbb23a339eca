"""The place that was most frequent in training reaches the results of both stages."""

from __future__ import annotations

import json
import shutil

import pytest
from support import DEMO

from llmtuner.cli.main import main
from llmtuner.data.load import read_questions
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.run import McqRun
from llmtuner.mcq.settings import McqSettings
from llmtuner.mcq.trained_places import FlagsOfRun, places_of_run
from llmtuner.runs.manifest import RUN_MANIFEST, Manifest, read_manifest, write_manifest

STAGES = {
    "sft": ["--predict_with_generate", "--max_new_tokens", "1"],
    "mcq": ["--mcq_head", "letter"],
}


@pytest.mark.parametrize("stage", STAGES)
def test_the_baseline_comes_from_the_training_of_the_model(tiny_llama, tmp_path, capsys, demo_records, stage):
    """Counted in the scored questions, it knows more than the model could learn."""
    shutil.copytree(tiny_llama, tmp_path / "model")
    answers = [record["answer"] for record in demo_records[:4]]
    absent = next(letter for letter in "ABCDE" if letter not in answers)
    places = {absent: 9, answers[0]: 5}
    manifest = Manifest(stage=stage, step=1, max_steps=1, epoch=1.0, answer_places=places)
    write_manifest(manifest, tmp_path / "model" / RUN_MANIFEST)
    command = ["--stage", stage, "--model_name_or_path", str(tmp_path / "model"), "--template", "llama2"]
    command += ["--do_predict", "--eval_dataset", "llmscience_sample", "--max_samples", "4", *STAGES[stage]]
    assert main([*command, "--output_dir", str(tmp_path / "out")]) == 0
    results = json.loads((tmp_path / "out" / "predict_results.json").read_text())
    assert (results["floor_place_from"], results["floor_place_accuracy"]) == ("train", 0.0)
    seconds = answers.count(answers[0]) / 2
    others = (4 - answers.count(answers[0])) * (1 / 3) / 3  # the third place ties among three
    assert results["floor_place_map@3"] == pytest.approx((seconds + others) / 4)
    assert {"predict_mrr", "predict_nll", "predict_ece"} <= results.keys()
    assert "most frequent place" in capsys.readouterr().out


def test_a_command_that_trains_counts_its_own_questions(tmp_path):
    places = {"A": 4}
    write_manifest(Manifest(stage="sft", step=1, max_steps=1, epoch=1.0, answer_places=places), tmp_path / RUN_MANIFEST)
    start = {"model_name_or_path": str(tmp_path), "adapter_name_or_path": None}
    first = read_questions(DEMO, purpose="train").questions[0]
    trains = FlagsOfRun({**start, "do_train": True, "dataset": str(DEMO), "max_samples": 1})
    assert trains.places() == {first.answer_letter: 1}
    splits = FlagsOfRun({**start, "do_train": True, "dataset": str(DEMO), "val_size": 2.0}).places()
    assert sum((splits or {}).values()) == len(read_questions(DEMO, purpose="train").questions) - 2
    assert FlagsOfRun(start).places() == places
    assert FlagsOfRun.among([object(), trains]) is trains
    assert FlagsOfRun.among([object()]).places() is None
    assert not trains.retrieves
    assert FlagsOfRun({**start, "retrieve": "index"}).retrieves
    run = McqRun(model=str(tmp_path), settings=McqSettings())
    assert places_of_run(run, QuestionSet.ready([first], [])) == {first.answer_letter: 1}
    assert places_of_run(run, None) == places


def test_the_manifest_counts_no_question_that_was_dropped(tiny_llama, tmp_path, demo_records):
    """The training's own prediction left those of --mcq_drop_long out, and every later one counted them."""
    first, second = ({**record, "answer": letter} for record, letter in zip(demo_records[:2], "AB", strict=True))
    rows = [first, {**second, "prompt": "long " * 3000}]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["--stage", "mcq", "--model_name_or_path", str(tiny_llama), "--template", "llama2", "--do_train"]
    command += ["--dataset", str(tmp_path / "train.jsonl"), "--mcq_drop_long", "--max_steps", "1"]
    assert main([*command, "--save_strategy", "no", "--output_dir", str(tmp_path / "out")]) == 0
    manifest = read_manifest(tmp_path / "out" / RUN_MANIFEST)
    assert manifest is not None
    assert manifest.answer_places == {"A": 1}
