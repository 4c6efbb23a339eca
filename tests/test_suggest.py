from __future__ import annotations

import pytest

from llmtuner.suggest import did_you_mean, nearest

KNOWN = ["lora_rank", "lora_alpha", "lora_dropout", "template", "per_device_train_batch_size", "seed"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("tempalte", "template"),
        ("lora_rnak", "lora_rank"),
        ("lora-rank", "lora_rank"),
        ("LORA_RANK", "lora_rank"),
        ("lora_ran", "lora_rank"),
        ("per_device", "per_device_train_batch_size"),
        ("per_device_batch_size", "per_device_train_batch_size"),
        ("zzz", None),
        ("", None),
    ],
)
def test_nearest(typed, meant):
    assert nearest(typed, KNOWN) == meant


def test_nothing_is_near_among_nothing():
    assert nearest("seed", []) is None
    assert did_you_mean("seed", []) == ""


def test_the_hint_is_ready_to_append_and_keeps_the_known_spelling():
    assert "unknown flag." + did_you_mean("--sed", ["--seed"]) == "unknown flag. Did you mean --seed?"
