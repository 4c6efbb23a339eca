"""Runs with --mcq_option_orders, in both stages, against runs over files with rotated options."""

from __future__ import annotations

import json

import pytest
import torch
from step2 import QUICK, config, lines, predict_command, results, train_command

from llmtuner.cli.main import main
from llmtuner.data.load import read_questions
from llmtuner.mcq import load_scorer

STAGES = {
    "mcq": ("--mcq_head", "letter"),
    "sft": ("--predict_with_generate", "--max_new_tokens", "1", "--per_device_eval_batch_size", "3"),
}
CONTEXT = "A potential difference drives a current. "
CUTOFF = ("--cutoff_len", "160")  # cuts six of the eight contexts


def rows(shift: int = 0) -> list[dict]:
    """Questions with two to five options, of which the first is number `shift`; some contexts are too long."""
    made = []
    for number in range(8):
        options = [f"the {word} {number}" for word in ("volt", "ohm", "watt", "farad", "tesla")[: 2 + number % 4]]
        turn = shift % len(options)
        gold = (number % len(options) - turn) % len(options)
        context = CONTEXT * (3 * number)
        made.append(
            {"query": "Which unit?", "context": context, "choices": options[turn:] + options[:turn], "gold": gold}
        )
    return made


def predict(model, out, stage, data, *more, rotated=0, adapter=None):
    data.write_text("".join(json.dumps(row) + "\n" for row in rows(rotated)))
    template = () if adapter else ("--template", "llama2")
    flags = () if adapter else STAGES[stage]
    command = predict_command(model, out, *template, *flags, *CUTOFF, *more, adapter=adapter)
    command[command.index("--stage") + 1] = stage
    command[command.index("llmscience_sample")] = str(data)
    assert main(command) == 0
    return [list(line["probabilities"].values()) for line in lines(out)]


@pytest.mark.parametrize("stage", STAGES)
def test_probabilities_are_the_means_over_files_with_rotated_options(tiny_llama, tmp_path, stage):
    """In stage sft the prompts come ready from upstream's processors, and only the trainer scores letters."""
    data = tmp_path / "rows.jsonl"
    averaged = predict(tiny_llama, tmp_path / "out", stage, data, "--mcq_option_orders", "3")
    assert results(tmp_path / "out")["mcq_option_orders"] == 3
    turned = [predict(tiny_llama, tmp_path / f"{turn}", stage, data, rotated=turn) for turn in range(3)]
    assert "mcq_option_orders" not in results(tmp_path / "0")
    for number, actual in enumerate(averaged):
        count = len(actual)
        used = range(min(3, count))
        means = [
            sum(turned[turn][number][(option - turn) % count] for turn in used) / len(used) for option in range(count)
        ]
        assert actual == pytest.approx(means, abs=1e-5)
    assert [line["answer"] for line in lines(tmp_path / "out")] == [line["answer"] for line in lines(tmp_path / "0")]
    assert averaged != turned[0]


def test_orders_behind_examples_are_the_means_over_rotated_files(tiny_llama, tmp_path):
    """The rotated prompts are encoded apart from the others, and must have the same examples in front."""
    from support import DEMO

    data = tmp_path / "rows.jsonl"
    shots = ("--mcq_shots", "2", "--mcq_shots_from", str(DEMO), "--cutoff_len", "900")
    averaged = predict(tiny_llama, tmp_path / "out", "mcq", data, *shots, "--mcq_option_orders", "2")
    turned = [predict(tiny_llama, tmp_path / f"{turn}", "mcq", data, *shots, rotated=turn) for turn in range(2)]
    for number, actual in enumerate(averaged):
        count = len(actual)
        means = [sum(turned[t][number][(option - t) % count] for t in range(2)) / 2 for option in range(count)]
        assert actual == pytest.approx(means, abs=1e-5)
    assert turned[0] != predict(tiny_llama, tmp_path / "bare", "mcq", data), "the examples change the scores"


def test_one_order_changes_no_file(tiny_llama, tmp_path):
    data = tmp_path / "rows.jsonl"
    for name, more in (("without", ()), ("one", ("--mcq_option_orders", "1"))):
        predict(tiny_llama, tmp_path / name, "mcq", data, *more)
    written = [(tmp_path / name / "predictions.jsonl").read_bytes() for name in ("without", "one")]
    assert written[0] == written[1]
    assert results(tmp_path / "without").keys() == results(tmp_path / "one").keys()


def test_it_is_a_setting_of_the_prediction_and_not_of_the_model(tiny_llama, tmp_path):
    """A training that also predicts takes it; its evaluations use one order."""
    trained, data = tmp_path / "trained", tmp_path / "rows.jsonl"
    more = ("--do_predict", "--eval_dataset", "llmscience_sample", "--mcq_option_orders", "2", "--mcq_head", "letter")
    assert main(train_command(tiny_llama, trained, *QUICK, *more, "--num_train_epochs", "1")) == 0
    assert results(trained)["mcq_option_orders"] == 2
    assert "orders" not in json.dumps(config(trained))
    once = predict(tiny_llama, tmp_path / "once", "mcq", data, adapter=trained)
    twice = predict(tiny_llama, tmp_path / "twice", "mcq", data, "--mcq_option_orders", "2", adapter=trained)
    questions = read_questions(data, purpose="predict").questions
    for orders, expected in ((1, once), (2, twice)):
        scored = load_scorer(trained, cutoff_len=160, option_orders=orders).score(questions)
        for prediction, probabilities in zip(scored, expected, strict=True):
            torch.testing.assert_close(
                torch.tensor(prediction.probabilities),
                torch.tensor(probabilities),
                atol=1e-5,
                rtol=0,
                check_dtype=False,
            )
    assert once != twice
