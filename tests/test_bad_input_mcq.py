"""Bad input to --stage mcq: one message, status 2, nothing written, and if possible before a model is loaded."""

from __future__ import annotations

import json

import pytest
from support import write_adapter

from llmtuner.cli.main import main
from llmtuner.mcq.objective import Objective
from llmtuner.mcq.settings import McqSettings, write_settings

QUESTION = {"query": "Which?", "choices": ["a", "b", "c"], "gold": 0}


@pytest.fixture
def run(tiny_llama, tmp_path, capsys, monkeypatch):
    """Run a training on some rows; return the output. Loading a model fails the test, unless it is expected."""
    out = tmp_path / "out"

    def start(*more: str, rows=(QUESTION,) * 3, loads: bool = False, do: str = "--do_train", model=tiny_llama) -> str:
        data = tmp_path / "rows.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        if not loads:
            monkeypatch.setattr("patches.mcq_stage.run.load", lambda *_, **__: pytest.fail("a model was loaded"))
        words = ["--stage", "mcq", "--model_name_or_path", str(model), do, "--output_dir", str(out)]
        words += ["--dataset" if do == "--do_train" else "--eval_dataset", str(data), "--num_train_epochs", "1"]
        words += [] if "--template" in more else ["--template", "llama2"]
        assert main([*words, *more]) == 2
        assert not out.exists(), "nothing is written"
        message = capsys.readouterr().err
        assert "Traceback" not in message
        return message

    return start


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ("--mcq_head", "liner"),
            "choose from: linear, option_mean, duma, cduma, letter, likelihood. Did you mean linear?",
        ),
        (("--mcq_head", "cdumma"), "Did you mean cduma?"),
        (("--mcq_layout", "packed"), "choose from: shared_prefix, per_option, joint"),
        (("--mcq_pooling", "first"), "whose first token has seen no option"),
        (("--early_stopping_steps", "2"), "--early_stopping_steps needs"),
        (("--load_best_model_at_end", "true"), "add --eval_strategy steps"),
        (("--use_unsloth",), "--use_unsloth does not go with --stage mcq: it replaces the attention"),
        (("--finetuning_type", "oft"), "nothing could be predicted with them"),
        (("--auto_find_batch_size",), "--auto_find_batch_size does not go with"),
        (("--train_sampling_strategy", "sequential"), "each epoch has a random order; leave it out"),
        (("--group_by_length", "true"), "--mcq_tokens_per_batch for batches of similar length"),
        (("--dataloader_drop_last",), "--dataloader_drop_last does not go with"),
        (("--mcq_pooling", "max"), "choose from: auto, last, first, mean, option"),
        (("--mcq_loss", ""), "a name is missing"),
        (("--mcq_loss", "hinge"), "choose from: cross_entropy, binary"),
        (("--mcq_loss", "expected_map"), "Did you mean expected_map3?"),
        (("--mcq_loss", "cross_entropy:0.5+"), "a name is missing; the form is NAME[:WEIGHT]"),
        (("--mcq_loss", "binary:-1"), "a weight must be above 0"),
        (
            ("--mcq_loss", "ranknet", "--label_smoothing_factor", "0.1"),
            "--label_smoothing_factor 0.1: it is for cross_entropy",
        ),
        (
            ("--mcq_loss_warmup_ratio", "1.5", "--mcq_loss", "binary"),
            "--mcq_loss_warmup_ratio 1.5: expected a number of at least 0 and below 1",
        ),
        (("--mcq_rdrop_alpha", "-1"), "a number of at least 0"),
        (("--mcq_rdrop_alpha", "1"), "R-Drop has no effect; add --lora_dropout 0.1"),
        (("--mcq_rdrop_alpha", "1", "--finetuning_type", "full"), "R-Drop has no effect; add --mcq_dropout 0.1"),
        (("--mcq_dropout", "1"), "--mcq_dropout 1: expected a number of at least 0 and below 1"),
        (
            ("--label_smoothing_factor", "1.5"),
            "--label_smoothing_factor 1.5: expected a number of at least 0 and below 1",
        ),
        (("--mcq_loss_warmup_ratio", "0.5"), "which is the loss already; leave it out"),
        (("--mcq_head", "duma", "--mcq_layout", "joint"), "which takes shared_prefix or per_option"),
        (("--mcq_duma_width", "64"), "--mcq_duma_width 64: it is for the heads duma or cduma"),
        (("--mcq_head", "duma", "--mcq_duma_heads", "7"), "does not divide the width 64"),
        (("--mcq_head", "duma", "--mcq_duma_preset", "original"), "choose from: bottleneck, paper"),
        (("--mcq_head", "letter", "--mcq_layout", "per_option"), "which takes joint"),
        (("--mcq_layout", "joint", "--mcq_pooling", "option"), "it takes last, mean"),
        (("--mcq_shuffle_options",), "is for joint prompts"),
        (
            ("--mcq_option_orders", "11"),
            "--mcq_option_orders 11: expected a whole number of at least 1 and of at most 10",
        ),
        (("--mcq_option_orders", "0"), "--mcq_option_orders 0: expected a whole number of at least 1"),
        (
            ("--mcq_option_orders", "2"),
            "--mcq_option_orders 2: it is for joint prompts (a language model's --mcq_head letter",
        ),
        (("--mcq_option_orders", "2", "--mcq_head", "letter"), "--mcq_option_orders 2: it is for predictions"),
        (("--mcq_option_orders", "2", "--stage", "sft"), "--mcq_option_orders 2: it is for predictions"),
        (("--mcq_option_orders", "2", "--stage", "pt"), "--mcq_option_orders is for --stage mcq or sft"),
        (("--mcq_tokens_per_batch", "0"), "expected a whole number of at least 1"),
        (("--head_learning_rate", "0"), "expected a number above 0"),
        (("--mcq_haed", "linear"), "Did you mean --mcq_head"),
        (("--cutoff_len", "0"), "--cutoff_len 0: expected a whole number of at least 1"),
        (("--streaming", "--max_steps", "2"), "--streaming does not go with"),
        (("--packing", "true"), "--packing does not go with --stage mcq"),
        (("--tokenized_path", "cache"), "--tokenized_path cache does not go with --stage mcq"),
        (("--mix_strategy", "interleave_under", "--interleave_probs", "1"), "--mix_strategy interleave_under"),
        (("--predict_with_generate",), "except SFT"),
        (("--template", "lama2"), "unknown chat template"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_flags_that_cannot_be(more, message, run):
    assert message in run(*more)


def test_another_stage_does_not_pass_over_our_flags(run):
    assert "--mcq_pooling is for --stage mcq" in run("--stage", "sft", "--mcq_pooling", "mean")


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        ([{**QUESTION, "choices": ["a"]}], (), "1 option"),
        ([{**QUESTION, "choices": list("abcdefghijk")}], (), "11 options"),
        ([QUESTION, {"query": "Which?", "choices": ["a", "b"]}], (), "no answer"),
        ([QUESTION, {**QUESTION, "choices": ["a", "b"]}], ("--mcq_layout", "joint"), "rows.jsonl:2: id 1: 2 options"),
        ([{**QUESTION, "query": "long " * 90}], ("--cutoff_len", "60"), "longer than --cutoff_len 60"),
    ],
    ids=["one option", "eleven", "no answer", "joint with other counts", "too long"],
)
def test_questions_that_cannot_be_used(rows, more, message, run):
    assert message in run(*more, rows=rows)


def test_a_prediction_needs_questions(tiny_llama, tmp_path, capsys):
    words = ["--stage", "mcq", "--model_name_or_path", str(tiny_llama), "--do_predict"]
    assert main([*words, "--mcq_head", "letter", "--output_dir", str(tmp_path / "out")]) == 2
    assert "name them with --eval_dataset" in capsys.readouterr().err


def test_a_joint_head_knows_its_number_of_options(tiny_llama, run, tmp_path):
    import shutil

    model = tmp_path / "model"
    shutil.copytree(tiny_llama, model)
    write_settings(McqSettings(layout="joint", num_options=5, prompt={"template": "llama2"}), model)
    assert "this head was trained for 5" in run(do="--do_predict", model=model)


def test_there_must_be_a_trained_head_to_predict_with(run):
    message = run(do="--do_predict")
    assert "no mcq_config.json in it, so it has no trained head" in message
    assert "--mcq_head letter" in message


@pytest.fixture
def bert(tiny_llama, tmp_path):
    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "tokenizer.json").write_text((tiny_llama / "tokenizer.json").read_text())
    (folder / "model.safetensors").write_bytes((tiny_llama / "model.safetensors").read_bytes())
    return folder


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--mcq_head", "letter"), "this model is an encoder"),
        (("--mcq_layout", "shared_prefix"), "every token of the question sees the option"),
        (("--mcq_layout", "joint"), "encoders take per_option"),
    ],
)
def test_what_an_encoder_cannot_do(more, message, run, bert):
    assert message in run(*more, model=bert)


@pytest.mark.parametrize(
    ("stored", "more", "message"),
    [
        ({"pooling": "mean"}, ("--mcq_pooling", "last"), "--mcq_pooling last: contradicts"),
        ({"head": "letter", "layout": "joint", "pooling": "none"}, ("--mcq_head", "linear"), "--mcq_head linear"),
        ({"prompt": {"template": "mistral"}}, (), "--template llama2: contradicts"),
        ({"kind": "encoder", "layout": "per_option"}, (), "kind encoder"),
        ({}, ("--mcq_rdrop_alpha", "1"), "which says 0; it is for training"),
        ({}, ("--mcq_dropout", "0"), "--mcq_dropout 0: contradicts"),
        (
            {"objective": Objective(label_smoothing=0.1)},
            ("--label_smoothing_factor", "0.2"),
            "--label_smoothing_factor 0.2: contradicts",
        ),
        ({"base": {"hidden_size": 4096}}, (), "another base model: hidden_size 4096, and this one has 64"),
    ],
)
def test_what_is_stored_with_an_adapter_holds(stored, more, message, run, tmp_path):
    adapter = write_adapter(tmp_path / "adapter")
    write_settings(McqSettings(**{"prompt": {"template": "llama2"}, **stored}), adapter)
    loads = "base" in stored  # read from the model's configuration, in `load`
    assert message in run(*more, "--adapter_name_or_path", str(adapter), do="--do_predict", loads=loads)


def test_a_checkpoint_of_another_head_is_not_resumed(tiny_llama, tmp_path, capsys):
    checkpoint = tmp_path / "out" / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text('{"global_step": 3, "max_steps": 9, "epoch": 1.0}')
    (checkpoint / "adapter_config.json").write_text("{}")
    (checkpoint / "adapter_model.safetensors").write_bytes(b"x")
    words = ["--stage", "mcq", "--model_name_or_path", str(tiny_llama), "--do_train", "--dataset", "llmscience_sample"]
    words += ["--template", "llama2", "--output_dir", str(tmp_path / "out")]
    assert main(words) == 2
    assert "it is not a checkpoint of --stage mcq" in capsys.readouterr().err
    for stored, setting in (
        (McqSettings(pooling="mean"), "--mcq_pooling mean, and this run has last"),
        (McqSettings(layout="joint"), "--mcq_layout joint, and this run has shared_prefix or per_option"),
        (McqSettings(prompt={"template": "mistral"}), "--template mistral, and this run has llama2"),
        (McqSettings(merged_adapters=("a",)), "merged adapters a, and this run has none"),
        (
            McqSettings(head="likelihood", pooling="none", likelihood_norm="sum"),
            "--mcq_head likelihood, and this run has linear",
        ),
    ):
        write_settings(stored, checkpoint)
        assert main(words) == 2
        assert f"trained with {setting}" in capsys.readouterr().err


def test_a_best_metric_that_is_never_reported_is_refused_before_training(run, tmp_path):
    held = tmp_path / "held.jsonl"
    held.write_text(json.dumps(QUESTION) + "\n")
    best = ("--load_best_model_at_end", "true", "--eval_strategy", "epoch", "--save_strategy", "epoch")
    metric = ("--metric_for_best_model", "map@3")
    assert "held.jsonl_map@3" in run(
        *best, *metric, "--eval_dataset", f"{held},llmscience_sample", "--eval_on_each_dataset", "true"
    )
    assert "choose from: map@3, accuracy, mrr, nll, ece, loss" in run(
        *best, "--metric_for_best_model", "f1", "--eval_dataset", str(held)
    )


def test_a_value_from_a_file_is_refused_with_its_line(tiny_llama, tmp_path, capsys):
    """The engine does not know about config files: the message named a flag that was not given."""
    config = tmp_path / "run.yaml"
    lines = [
        f"model_name_or_path: {tiny_llama}",
        "stage: mcq",
        "do_train: true",
        "dataset: llmscience_sample",
        "mcq_head: letter",
        "mcq_pooling: mean",
        f"output_dir: {tmp_path / 'out'}",
    ]
    config.write_text("\n".join(lines))
    assert main([str(config)]) == 2
    assert f"error: {config}:6: --mcq_pooling mean: the letter head pools nothing" in capsys.readouterr().err


def test_all_mistakes_of_a_command_come_in_one_message(tmp_path, capsys):
    """They were reported one by one, each after a restart."""
    words = ["--stage", "mcq", "--do_train", "--model_name_or_path", str(tmp_path / "none"), "--dataset", "nosuch"]
    assert main([*words, "--packing", "true", "--output_dir", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    for part in ("--packing does not go with", "no such folder", "unknown data set 'nosuch'"):
        assert part in message


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        ([{**QUESTION, "choices": ["a", "b"]}], ("--mcq_likelihood_norm", "pmi"), "it is for prediction only"),
        ([{**QUESTION, "choices": ["a", "b"]}], ("--head_learning_rate", "1"), "the likelihood head has no weights"),
        ([{**QUESTION, "choices": ["a", "b"]}], ("--mcq_layout", "joint"), "takes shared_prefix or per_option"),
        ([{**QUESTION, "choices": [" ", "b"]}], (), "blank options are right"),
        ([QUESTION, {**QUESTION, "choices": [" ", "\u200b"]}], (), "1 questions have only blank options"),
    ],
)
def test_what_the_likelihood_of_texts_cannot_do(rows, more, message, run):
    assert message in run("--mcq_head", "likelihood", *more, rows=rows)


def test_the_norm_is_for_its_head(run, bert, tmp_path):
    assert "it is for the head likelihood" in run("--mcq_likelihood_norm", "sum")
    assert "this model is an encoder" in run("--mcq_head", "likelihood", model=bert)
    adapter = write_adapter(tmp_path / "adapter")
    stored = {"head": "likelihood", "pooling": "none", "likelihood_norm": "token", "prompt": {"template": "llama2"}}
    write_settings(McqSettings(**stored), adapter)
    more = ("--mcq_likelihood_norm", "char", "--adapter_name_or_path", str(adapter))
    assert "--mcq_likelihood_norm char: contradicts" in run(*more, do="--do_predict")


SOFT_QUESTION = QUESTION | {"probabilities": {"A": 0.8, "B": 0.1, "C": 0.1}}


def test_a_loss_that_takes_no_probabilities_refuses_them_before_a_model_is_loaded(run):
    """Dropped in silence, a distillation would be an ordinary training."""
    message = run("--mcq_loss", "topk_ce", rows=(QUESTION, SOFT_QUESTION))
    assert "--mcq_loss" in message
    assert "rows.jsonl:2), which topk_ce does not take; choose from: cross_entropy" in message


@pytest.mark.parametrize("column", [{"probabilities": SOFT_QUESTION["probabilities"]}, {"weight": 2}])
def test_stage_sft_refuses_probabilities_and_weights(run, column):
    message = run("--stage", "sft", rows=(QUESTION, QUESTION | column))
    assert f"rows.jsonl:2: the column {next(iter(column))} is for --stage mcq" in message


def test_a_sum_of_probabilities_that_is_not_1_is_named_by_line(run):
    message = run(rows=(QUESTION, QUESTION | {"probabilities": {"A": 0.8, "B": 0.1, "C": 0.2}}))
    assert "rows.jsonl:2: probabilities have the sum 1.1" in message
