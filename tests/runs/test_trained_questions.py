"""The questions that a model was trained on stay with it: through both stages, checkpoints, a merge and Python."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from llmtuner.cli.main import main
from llmtuner.data import read_questions
from llmtuner.data.question import Question
from llmtuner.data.trained import TrainedQuestions
from llmtuner.mcq import load_scorer, train
from llmtuner.mcq.merge import merge
from llmtuner.runs.trained import TRAINED, read_trained

QUICK = ("--use_cpu", "--template", "llama2", "--max_steps", "1", "--learning_rate", "1e-3", "--report_to", "none")


def write(path, numbers):
    rows = [
        {"prompt": f"{n}?", **{letter: f"{letter}{n}" for letter in "ABCD"}, "answer": "ABCD"[n % 4]} for n in numbers
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(model, out, data, *more):
    words = ["--model_name_or_path", str(model), "--do_train", "--dataset", str(data), "--output_dir", str(out)]
    assert main([*words, *QUICK, *map(str, more)]) == 0


@pytest.fixture(scope="module")
def chain(tiny_llama, tmp_path_factory):
    """STEP1 on 12 of 16 questions, STEP2 on 8 others on top of it, and a merge; the data is gone."""
    folder = tmp_path_factory.mktemp("chain")
    first, second = write(folder / "first.jsonl", range(16)), write(folder / "second.jsonl", range(50, 58))
    run(tiny_llama, folder / "step1", first, "--stage", "sft", "--val_size", "0.25")
    more = ("--stage", "mcq", "--adapter_name_or_path", folder / "step1", "--save_steps", "1")
    run(tiny_llama, folder / "step2", second, *more)
    merge(folder / "step2", folder / "merged")
    asked = {name: read_questions(path, purpose="train").questions for name, path in (("1", first), ("2", second))}
    for path in (first, second):
        path.unlink()
    return folder, asked


def test_each_training_adds_its_questions(chain):
    folder, asked = chain
    step1, step2 = (read_trained([folder / name]) for name in ("step1", "step2"))
    assert len(step1.known(asked["1"])[0]) == 12, "four were held out"
    assert step2 == step1 | TrainedQuestions.of(asked["2"])
    for name in ("step2/checkpoint-1", "merged"):
        assert (folder / name / TRAINED).read_bytes() == (folder / "step2" / TRAINED).read_bytes()


def test_a_prediction_counts_them_without_the_data(chain, tmp_path, capsys):
    folder, _ = chain
    scored = write(tmp_path / "scored.jsonl", [*range(50, 58), *range(100, 104)])
    words = ["--stage", "mcq", "--model_name_or_path", str(folder / "merged"), "--do_predict", "--use_cpu"]
    assert main([*words, "--eval_dataset", str(scored), "--output_dir", str(tmp_path / "out")]) == 0
    assert "8 of 12 scored questions are also in the training data" in capsys.readouterr().err


def test_a_changed_list_is_noticed(chain, tmp_path, capsys):
    folder, _ = chain
    scorer = load_scorer(folder / "merged")
    scorer.save(tmp_path / "saved")
    assert read_trained([tmp_path / "saved"]) == read_trained([folder / "merged"])
    (tmp_path / "saved" / TRAINED).write_text("")
    scored = write(tmp_path / "scored.jsonl", range(50, 58))
    words = ["--stage", "mcq", "--model_name_or_path", str(tmp_path / "saved"), "--do_predict", "--use_cpu"]
    assert main([*words, "--eval_dataset", str(scored), "--output_dir", str(tmp_path / "out")]) == 0
    assert f"{TRAINED}: not the file that was saved" in capsys.readouterr().err


def test_a_training_from_python_adds_its_questions_to_those_of_its_model(chain, tmp_path):
    folder, asked = chain
    third = [replace(each, question=f"new {each.question}") for each in asked["2"]]
    quick = {"max_steps": 1, "learning_rate": 1e-3, "per_device_train_batch_size": 4, "save_strategy": "no"}
    train(str(folder / "merged"), third, str(tmp_path / "out"), arguments=quick)
    assert read_trained([tmp_path / "out"]) == read_trained([folder / "merged"]) | TrainedQuestions.of(third)


def test_names_of_the_hub_and_untrained_models_have_none(tiny_llama):
    none = read_trained(["owner/model", tiny_llama, None])
    assert none.known([Question("1", "W?", ("a", "b"), answer=0)]) == ([], [])
