"""Every number of the command line has a range: no run does nothing, or computes with NaN, because of one."""

from __future__ import annotations

import pytest

from llmtuner.cli.main import USER_ERROR, main
from llmtuner.errors import UserError
from llmtuner.spec.flag import FINITE, Range
from llmtuner.spec.flags import FLAGS
from llmtuner.spec.upstream_flags import STAGES
from llmtuner.spec.upstream_numbers import UNCHECKED

NUMBERS = [flag for flag in FLAGS.values() if flag.type in (int, float)]
WRONG = [
    ("num_train_epochs", "0", "above 0"),
    ("num_train_epochs", "-1", "above 0"),
    ("max_steps", "0", "of at least 1, or -1"),
    ("max_steps", "-2", "of at least 1, or -1"),
    ("gradient_accumulation_steps", "-1", "of at least 1"),
    ("per_device_train_batch_size", "0", "of at least 1"),
    ("per_device_eval_batch_size", "-8", "of at least 1"),
    ("learning_rate", "-5e-5", "above 0"),
    ("learning_rate", "1e400", "above 0"),
    ("warmup_steps", "-1", "of at least 0"),
    ("weight_decay", "-0.1", "of at least 0"),
    ("adam_beta1", "1", "of at least 0 and below 1"),
    ("adam_beta2", "-0.1", "of at least 0 and below 1"),
    ("adam_epsilon", "-1e-8", "of at least 0"),
    ("max_grad_norm", "inf", "of at least 0"),
    ("lora_rank", "0", "of at least 1"),
    ("lora_alpha", "0", "of at least 1"),
    ("lora_dropout", "1", "of at least 0 and below 1"),
    ("val_size", "nan", "of at least 0"),
    ("val_size", "-0.1", "of at least 0"),
    ("max_samples", "0", "of at least 1"),
    ("cutoff_len", "-2048", "of at least 1"),
    ("quantization_bit", "7", "of at least 1 and of at most 8, not 7"),
    ("preprocessing_num_workers", "0", "of at least 1"),
    ("dataloader_num_workers", "-1", "of at least 0"),
    ("seed", "-1", "of at least 0 and of at most 4294967295"),
    ("logging_steps", "-10", "of at least 0"),
    ("save_steps", "-1", "of at least 0"),
    ("eval_steps", "nan", "of at least 0"),
    ("save_total_limit", "-3", "of at least 0"),
    ("early_stopping_steps", "0", "of at least 1"),
    ("max_new_tokens", "-8", "of at least 1, or 0, or -1"),
    ("temperature", "nan", "of at least 0"),
    ("top_p", "1.1", "of at least 0 and of at most 1"),
    ("top_k", "-1", "of at least 0"),
    ("num_beams", "0", "of at least 1"),
    ("repetition_penalty", "0", "above 0"),
    ("length_penalty", "-inf", "that is finite"),
    ("neftune_noise_alpha", "-5", "of at least 0"),
    ("loraplus_lr_ratio", "0", "above 0"),
    ("galore_rank", "0", "of at least 1"),
    ("badam_update_ratio", "0", "above 0 and of at most 1"),
]
MEANT = [
    ("max_steps", "-1"),
    ("val_size", "200"),
    ("warmup_steps", "0.1"),
    ("save_steps", "0.25"),
    ("save_steps", "0"),
    ("eval_steps", "0.5"),
    ("logging_steps", "0.1"),
    ("max_grad_norm", "0"),
    ("max_new_tokens", "-1"),
    ("pissa_iter", "-1"),
    ("badam_switch_interval", "-1"),
    ("preprocessing_batch_size", "-1"),
    ("freeze_trainable_layers", "-2"),
    ("freeze_trainable_layers", "0"),
    ("num_train_epochs", "0.01"),
    ("quantization_bit", "8"),
]


def test_every_number_of_upstreams_parser_has_a_range_or_a_reason(upstream_actions):
    """`--num_train_epochs -1` saved an untrained adapter: upstream checks hardly any number."""
    numbers = {name for name, action in upstream_actions.items() if action.type in (int, float)}
    assert len(numbers) > 100
    ranged = {flag.name for flag in NUMBERS if flag.range is not None}
    assert not numbers - ranged - UNCHECKED.keys(), "declare a range, or say in UNCHECKED why there is none"
    assert not UNCHECKED.keys() & FLAGS.keys()
    assert UNCHECKED.keys() <= numbers


@pytest.mark.parametrize("flag", NUMBERS, ids=lambda flag: flag.name)
@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "1e400"])
def test_no_flag_takes_a_number_that_is_not_finite(flag, word):
    with pytest.raises(UserError, match=f"^--{flag.name} {word}: expected "):
        flag.parse([word])


@pytest.mark.parametrize(("name", "word", "expected"), WRONG)
def test_a_number_out_of_range_is_refused_before_anything_loads(name, word, expected, capsys, tmp_path):
    config = tmp_path / "run.yaml"
    for stage in STAGES:
        command = ["--stage", stage, "--do_train", "--model_name_or_path", "nowhere", f"--{name}", word]
        assert main(command) == USER_ERROR
        kind = "a whole number" if FLAGS[name].type is int else "a number"
        line = f"--{name} {word}: expected {kind} {expected}"
        assert capsys.readouterr().err.splitlines()[-1] == f"error: {line}", "one message, of this flag alone"
        written = {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}.get(word, word)
        config.write_text(f"stage: {stage}\ndo_train: true\n{name}: {written}\n")
        assert main([str(config)]) == USER_ERROR
        message = capsys.readouterr().err
        assert f"{config}:3: --{name} " in message
        assert f"expected {kind} {expected}" in message


@pytest.mark.parametrize(("name", "word"), MEANT)
def test_a_number_that_upstream_gives_a_meaning_is_taken(name, word):
    assert FLAGS[name].parse([word]) == float(word)


def test_a_number_of_bits_that_the_method_lacks_is_refused(capsys):
    command = ["--do_train", "--model_name_or_path", "nowhere", "--quantization_bit", "3"]
    assert main(command) == USER_ERROR
    assert "--quantization_bit 3 does not go with --quantization_method bnb" in capsys.readouterr().err
    assert main([*command, "--quantization_method", "hqq"]) == USER_ERROR
    assert "quantization" not in capsys.readouterr().err


def test_sampling_at_temperature_0_is_refused(capsys):
    command = ["--do_predict", "--model_name_or_path", "nowhere", "--temperature", "0"]
    assert main(command) == USER_ERROR
    assert "--temperature 0.0 does not go with --do_sample True" in capsys.readouterr().err
    assert main([*command, "--do_sample", "False"]) == USER_ERROR
    assert "temperature" not in capsys.readouterr().err


def test_a_range_says_which_numbers_it_has():
    assert str(Range(1, 8, excluded=(7,))) == "of at least 1 and of at most 8, not 7"
    assert str(Range(low=1, special=(-1,))) == "of at least 1, or -1"
    assert str(FINITE) == "that is finite"
    assert 10**400 not in FINITE, "an integer that no float can hold"
    assert -(10**400) not in FINITE
