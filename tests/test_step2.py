"""STEP2 end to end, in process: the commands of the stage, their output, and what must not change a result."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from step2 import QUICK, config, lines, predict_command, probabilities, results, train_command
from transformers import AutoModel

from llmtuner.cli.main import main
from llmtuner.data.load import read_questions
from llmtuner.mcq import load_scorer

# Enough to memorise 16 questions.
LEARNS = ["--finetuning_type", "full", "--max_samples", "16", "--num_train_epochs", "40", "--learning_rate", "2e-3"]
LEARNS += ["--per_device_train_batch_size", "8", "--gradient_accumulation_steps", "1", "--save_strategy", "no"]
LEARNS += ["--disable_gradient_checkpointing", "true"]


@pytest.fixture(scope="module")
def adapter(tiny_llama, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("step2") / "mcq checkpoint"
    more = ("--learning_rate", "1e-2", "--num_train_epochs", "2", "--logging_steps", "5", "--plot_loss")
    assert main(train_command(tiny_llama, folder, *more)) == 0
    return folder


@pytest.fixture(scope="module")
def prediction(tiny_llama, adapter, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("step2") / "predict"
    assert main(predict_command(tiny_llama, folder, adapter=adapter)) == 0
    return folder


def test_the_notes_command_trains_adapter_and_head(adapter):
    train = json.loads((adapter / "train_results.json").read_text())
    assert train["epoch"] == 2
    assert train["train_samples_per_second"] == pytest.approx(80 / train["train_runtime"], rel=0.02), "questions"
    assert (adapter / "training_loss.png").stat().st_size > 1000
    weights = load_file(adapter / "adapter_model.safetensors")
    assert any(tensor.abs().max() > 0 for name, tensor in weights.items() if "lora_B" in name)
    head = {name: tensor for name, tensor in weights.items() if "mcq_head" in name}
    assert {tuple(tensor.shape) for tensor in head.values()} == {(1, 64), (1,)}
    assert all(tensor.dtype == torch.float32 for tensor in head.values())
    assert not any("lora_" in name for name in head), "the head trains in full"
    card = (adapter / "README.md").read_text()
    assert "pipeline_tag: multiple-choice\n" in card
    assert "\n- mcq\n" in card


def test_the_settings_lie_beside_the_weights(adapter):
    stored = config(adapter)
    assert (stored["head"], stored["pooling"], stored["layout"], stored["loss"]) == (
        "linear",
        "last",
        "shared_prefix",
        "cross_entropy",
    )
    assert stored["prompt"]["template"] == "llama2"
    assert {form["context"] for form in stored["prompt"]["option"]} == {True, False}
    assert {"torch", "transformers", "peft"} <= stored["versions"].keys()
    assert config(adapter / "checkpoint-20") == stored


def test_every_line_of_the_log_has_the_pace_and_the_last_one_no_time_left(adapter):
    """tests/mcq/test_trainer.py compares the figures themselves with a clock."""
    logged = [json.loads(line) for line in (adapter / "trainer_log.jsonl").open()]
    assert logged[0]["total_steps"] == 20
    history = json.loads((adapter / "trainer_state.json").read_text())["log_history"]
    *lines, last = [line for line in history if "loss" in line]
    assert (len(lines), last["step"], last["time_left"]) == (3, 20, "0:00:00")
    for line in (*lines, last):
        pace = line["tokens_per_second"] / line["questions_per_second"]
        assert 40 < pace < 400, "tokens of a question"


def test_the_result_file_has_every_figure(prediction):
    figures = results(prediction)
    for name in ("accuracy", "map@3", "mrr", "nll", "runtime", "samples_per_second", "steps_per_second"):
        assert isinstance(figures[f"predict_{name}"], float), name
    assert figures["mcq_layout"] == "shared_prefix"
    assert figures["mcq_head"] == "linear"
    assert figures["floor_random_map@3"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 5)
    assert 0.3 < figures["floor_longest_map@3"] < 0.44


def test_scores_can_be_computed_again_from_the_predictions(prediction, demo_records):
    predicted = lines(prediction)
    assert [line["id"] for line in predicted] == [record["id"] for record in demo_records]
    assert [line["answer"] for line in predicted] == [record["answer"] for record in demo_records]
    assert all(len(line["digest"]) == 16 for line in predicted)
    places = [line["ranking"].index(line["answer"]) + 1 for line in predicted]
    figures = results(prediction)
    assert figures["predict_map@3"] == pytest.approx(sum(1 / p for p in places if p <= 3) / 40)
    assert figures["predict_mrr"] == pytest.approx(sum(1 / p for p in places) / 40)
    assert figures["predict_accuracy"] == pytest.approx(places.count(1) / 40)
    actual = probabilities(prediction)
    torch.testing.assert_close(actual.sum(1), torch.ones(40))
    right = torch.tensor([line["probabilities"][line["answer"]] for line in predicted])
    assert figures["predict_nll"] == pytest.approx(-right.log().mean().item(), rel=1e-5)
    with (prediction / "submission.csv").open(newline="") as file:
        assert [row["prediction"] for row in csv.DictReader(file)] == [
            " ".join(line["ranking"][:3]) for line in predicted
        ]


@pytest.mark.parametrize(
    "more",
    [
        ("--mcq_layout", "per_option"),
        ("--per_device_eval_batch_size", "3"),
        ("--mcq_tokens_per_batch", "600"),
        ("--mcq_head", "linear", "--mcq_pooling", "last", "--template", "llama2"),
    ],
    ids=["layout", "batch size", "token budget", "repeated flags"],
)
def test_none_of_these_changes_a_probability(more, tiny_llama, adapter, prediction, tmp_path):
    assert main(predict_command(tiny_llama, tmp_path, *more, adapter=adapter)) == 0
    torch.testing.assert_close(probabilities(tmp_path), probabilities(prediction), atol=1e-5, rtol=0)
    assert probabilities(prediction).std() > 1e-3, "equal probabilities show nothing"
    assert results(tmp_path)["mcq_layout"] == ("per_option" if "per_option" in more else "shared_prefix")


def test_a_trained_model_is_an_object_in_python(adapter, prediction, demo_records):
    """The README's five lines, without upstream and without naming base model or template."""
    from support import DEMO

    scorer = load_scorer(adapter)
    questions = read_questions(DEMO, purpose="predict").questions
    actual = scorer.score(questions)
    assert [p.id for p in actual] == [record["id"] for record in demo_records]
    torch.testing.assert_close(
        torch.tensor([p.probabilities for p in actual]).float(), probabilities(prediction), atol=1e-5, rtol=0
    )


def test_a_small_model_learns_its_training_questions(tiny_llama, tmp_path):
    """If spans, labels or positions were off by one, they could not be learnt."""
    trained, out = tmp_path / "full", tmp_path / "predict"
    assert main(train_command(tiny_llama, trained, *LEARNS)) == 0
    assert main(predict_command(trained, out, "--max_samples", "16")) == 0
    assert results(out)["predict_map@3"] > 0.95


@pytest.mark.parametrize("tuning", ["full", "freeze"])
def test_a_whole_model_keeps_head_and_lm_head(tuning, tiny_llama, tmp_path):
    """from_pretrained drops unknown weights: the head was loaded as a fresh one, at chance."""
    trained, out, before = tmp_path / "trained", tmp_path / "predict", tmp_path / "before"
    more = [*QUICK, "--finetuning_type", tuning, "--do_predict", "--eval_dataset", "llmscience_sample"]
    assert main(train_command(tiny_llama, trained, *more)) == 0
    assert main(predict_command(trained, out, "--max_samples", "12")) == 0
    before.mkdir()
    (trained / "predictions.jsonl").rename(before / "predictions.jsonl")
    torch.testing.assert_close(probabilities(out), probabilities(before), atol=1e-5, rtol=0)
    base, saved = load_file(tiny_llama / "model.safetensors"), load_file(trained / "model.safetensors")
    assert torch.equal(saved["lm_head.weight"], base["lm_head.weight"])
    changed = {name for name in base if not torch.equal(base[name], saved[name])}
    assert changed, "something was trained"
    if tuning == "freeze":
        assert "model.embed_tokens.weight" not in changed
    assert AutoModel.from_pretrained(trained).config.hidden_size == 64


def test_the_lm_head_takes_no_part(tiny_llama, adapter):
    """Its logits are the largest tensor of a causal model, and no option score needs them."""
    scorer = load_scorer(adapter)
    assert "lm_head.weight" not in dict(scorer.model.named_parameters())
    original = load_file(tiny_llama / "model.safetensors")["lm_head.weight"]
    assert torch.equal(scorer.model.state_dict()["lm_head.weight"], original)
    with pytest.raises(RuntimeError, match="stowed away"):
        scorer.model.lm_head(torch.zeros(1, 64))


def test_the_head_has_its_own_learning_rate(tiny_llama, tmp_path):
    shape = ("--max_samples", "4", "--max_steps", "1", "--learning_rate", "1e-9", "--optim", "sgd")
    heads = []
    for name, more in (("same", ()), ("own", ("--head_learning_rate", "1.0"))):
        assert main(train_command(tiny_llama, tmp_path / name, *shape, *more)) == 0
        weights = load_file(tmp_path / name / "adapter_model.safetensors")
        heads.append(next(tensor for key, tensor in weights.items() if key.endswith("mcq_score.weight")))
        moved = max(tensor.abs().max() for key, tensor in weights.items() if "lora_B" in key)
        assert moved < 1e-6, "the adapter keeps the common one"
    assert (heads[0] - heads[1]).abs().max() > 1e-4


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_a_resumed_run_ends_as_an_uninterrupted_one(tuning, tiny_llama, tmp_path):
    """Bitwise, with dropout, across an epoch boundary and within an epoch."""
    more = [
        *QUICK,
        "--finetuning_type",
        tuning,
        "--save_steps",
        "1",
        "--lora_dropout",
        "0.3",
        "--learning_rate",
        "1e-3",
    ]
    assert main(train_command(tiny_llama, tmp_path / "whole", *more)) == 0
    name = "adapter_model.safetensors" if tuning == "lora" else "model.safetensors"
    wanted = load_file(tmp_path / "whole" / name)
    for step in (1, 3, 4):  # of 6, three an epoch
        part = tmp_path / f"from {step}"
        resumed = ("--resume_from_checkpoint", str(tmp_path / "whole" / f"checkpoint-{step}"))
        assert main(train_command(tiny_llama, part, *more, *resumed)) == 0
        actual = load_file(part / name)
        assert actual.keys() == wanted.keys()
        assert all(torch.equal(actual[key], wanted[key]) for key in wanted), f"from step {step}"


def test_a_run_resumed_with_another_batch_order_warns(tiny_llama, tmp_path, capfd):
    """The remaining batches would silently differ: some questions come twice, some never."""

    def train(out, budget, *more):
        command = train_command(tiny_llama, out, *QUICK, "--save_steps", "1", "--gradient_accumulation_steps", "1")
        assert main([*command, "--mcq_tokens_per_batch", str(budget), *more]) == 0
        return capfd.readouterr().err

    assert "different batch order" not in train(tmp_path / "whole", 400)
    epochs = {
        json.loads(path.read_text())["epoch"]: path.parent
        for path in (tmp_path / "whole").glob("checkpoint-*/trainer_state.json")
    }
    within, between = str(epochs[min(epochs)]), str(epochs[1.0])
    assert "different batch order" not in train(tmp_path / "same", 400, "--resume_from_checkpoint", within)
    assert "different batch order" not in train(tmp_path / "next", 200, "--resume_from_checkpoint", between)
    restored = ("--restore_callback_states_from_checkpoint", "true")
    printed = train(tmp_path / "other", 200, "--resume_from_checkpoint", within, *restored)
    assert "epoch 1 resumes with a different batch order (tokens a batch 400 then, 200 now)" in printed


def test_evaluation_ranks_and_the_best_model_comes_back(tiny_llama, tmp_path):
    out = tmp_path / "best"
    evaluation = ("--val_size", "6", "--eval_strategy", "steps", "--eval_steps", "1", "--save_steps", "1")
    best = ("--load_best_model_at_end", "true", "--metric_for_best_model", "map@3", "--early_stopping_steps", "3")
    more = (*QUICK, *evaluation, *best, "--plot_loss", "--do_eval", "--num_train_epochs", "4")
    assert main(train_command(tiny_llama, out, *more)) == 0
    state = json.loads((out / "trainer_state.json").read_text())
    evaluations = [line for line in state["log_history"] if "eval_map@3" in line]
    for name in ("eval_accuracy", "eval_mrr", "eval_nll", "eval_loss", "eval_runtime"):
        assert all(name in line for line in evaluations), name
    assert all(line["eval_loss"] == pytest.approx(line["eval_nll"], rel=1e-5) for line in evaluations)
    assert state["best_metric"] == max(line["eval_map@3"] for line in evaluations)
    assert json.loads((out / "eval_results.json").read_text())["eval_map@3"] == state["best_metric"]
    assert (out / "training_eval_map@3.png").is_file()
    best_weights = load_file(out / f"checkpoint-{state['best_global_step']}" / "adapter_model.safetensors")
    saved = load_file(out / "adapter_model.safetensors")
    assert all(torch.equal(saved[name], best_weights[name]) for name in saved)


def test_a_training_that_gains_nothing_stops_early(tiny_llama, tmp_path):
    out = tmp_path / "stopped"
    evaluation = ("--val_size", "6", "--eval_strategy", "steps", "--eval_steps", "1", "--save_steps", "1")
    best = ("--load_best_model_at_end", "true", "--metric_for_best_model", "map@3", "--early_stopping_steps", "2")
    still = ("--learning_rate", "1e-12", "--head_learning_rate", "1e-12", "--num_train_epochs", "4")
    assert main(train_command(tiny_llama, out, *QUICK, *evaluation, *best, *still)) == 0
    state = json.loads((out / "trainer_state.json").read_text())
    assert (state["global_step"], state["best_global_step"]) == (3, 1)
    assert state["max_steps"] > 3


def test_a_lower_nll_is_the_better_one(tiny_llama, tmp_path):
    """transformers assumes that higher is better for every metric not called loss."""
    out = tmp_path / "best"
    evaluation = ("--val_size", "6", "--eval_strategy", "steps", "--eval_steps", "1", "--save_steps", "1")
    best = ("--load_best_model_at_end", "true", "--metric_for_best_model", "nll")
    assert main(train_command(tiny_llama, out, *QUICK, *evaluation, *best)) == 0
    state = json.loads((out / "trainer_state.json").read_text())
    assert state["best_metric"] == min(line["eval_nll"] for line in state["log_history"] if "eval_nll" in line)


def test_without_answers_there_are_rankings_and_no_scores(tiny_llama, adapter, tmp_path):
    path = tmp_path / "test.csv"
    rows = ["id,prompt,A,B,C,D,E", "007,Which?,a,b,c,None,NA", "900,Which is blank?,a,,c,d,e", "901,,x,x,c,d,e"]
    path.write_text("\n".join([*rows, "902," + "A long question. " * 60 + ",a,b,c,d,e"]) + "\n")
    out = tmp_path / "out"
    more = ("--eval_dataset", str(path), "--cutoff_len", "120")
    assert main(predict_command(tiny_llama, out, *more, adapter=adapter)) == 0
    assert [line["id"] for line in lines(out)] == ["007", "900", "901", "902"]
    keys = {"predict_runtime", "predict_samples_per_second", "predict_steps_per_second", "mcq_layout", "mcq_head"}
    assert results(out).keys() == keys


def test_options_of_any_number_in_one_batch(tiny_llama, adapter, tmp_path):
    path = tmp_path / "ragged.jsonl"
    rows = [{"query": f"Q{n}?", "choices": [f"choice {i}" for i in range(n)], "gold": n - 1} for n in range(2, 11)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out"
    assert main(predict_command(tiny_llama, out, "--eval_dataset", str(path), adapter=adapter)) == 0
    assert [len(line["ranking"]) for line in lines(out)] == list(range(2, 11))
    more = ("--dataset", str(path), "--per_device_train_batch_size", "5", "--num_train_epochs", "1")
    assert main(train_command(tiny_llama, tmp_path / "trained", *more)) == 0


# ---- letters and joint prompts


def test_letters_without_training_rank_as_stage_sft_does(tiny_llama, tmp_path):
    """The letter head is STEP1's ranking: same prompt, same tokens, same logits."""
    sft, mcq = tmp_path / "sft", tmp_path / "mcq"
    command = predict_command(tiny_llama, sft, "--template", "llama2", "--max_new_tokens", "1")
    command[1] = "sft"
    assert main([*command, "--predict_with_generate"]) == 0
    assert main(predict_command(tiny_llama, mcq, "--template", "llama2", "--mcq_head", "letter")) == 0
    assert results(mcq)["mcq_layout"] == "joint"
    for sft_line, mcq_line in zip(lines(sft), lines(mcq), strict=True):
        assert list(sft_line["scores"].values()) == pytest.approx(list(mcq_line["scores"].values()), abs=1e-5)


def test_letters_can_be_trained_and_come_back(tiny_llama, tmp_path):
    trained, out, before = tmp_path / "trained", tmp_path / "out", tmp_path / "before"
    more = (*QUICK, "--mcq_head", "letter", "--mcq_shuffle_options", "--num_train_epochs", "6")
    assert main(train_command(tiny_llama, trained, *more)) == 0
    assert main(predict_command(tiny_llama, out, adapter=trained)) == 0
    assert results(out)["mcq_head"] == "letter"
    assert main(predict_command(tiny_llama, before, "--template", "llama2", "--mcq_head", "letter")) == 0
    assert (probabilities(out) - probabilities(before)).abs().max() > 1e-3, "the adapter is at work"
    scorer = load_scorer(trained)
    from support import DEMO

    actual = scorer.score(read_questions(DEMO, purpose="predict").questions[:5])
    torch.testing.assert_close(
        torch.tensor([p.probabilities for p in actual]).float(), probabilities(out)[:5], atol=1e-5, rtol=0
    )


def test_a_joint_prompt_with_a_linear_head_learns(tiny_llama, tmp_path):
    trained, out = tmp_path / "trained", tmp_path / "out"
    assert main(train_command(tiny_llama, trained, *LEARNS, "--mcq_layout", "joint")) == 0
    assert config(trained)["num_options"] == 5
    assert main(predict_command(trained, out, "--max_samples", "16")) == 0
    assert results(out)["predict_map@3"] > 0.9
    assert results(out)["mcq_layout"] == "joint"
