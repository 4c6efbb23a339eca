"""Gradient checkpointing is switched off only where the memory is known to suffice."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest
import torch
from transformers import BertConfig, LlamaConfig

from llmtuner.mcq.memory import step_bytes, suffices
from patches import gradient_checkpointing
from patches.gradient_checkpointing import left_open, settle

SIZES = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "vocab_size": 49152}
LLAMA = LlamaConfig(**SIZES, num_attention_heads=9)


@pytest.fixture
def free(monkeypatch):
    def make(gigabytes: float) -> None:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=gigabytes * 1e9))

    return make


@pytest.mark.parametrize(("tokens", "measured"), [(256, 1.02e9), (512, 2.09e9), (1024, 3.78e9)])
def test_the_bound_is_above_what_was_measured_and_not_far(tokens, measured):
    """Peak memory of a forward and backward pass with LoRA and dropout, beyond the weights (SmolLM2-135M, fp32)."""
    weights = step_bytes(LLAMA, 0, tokens, logits=False)
    assert measured < step_bytes(LLAMA, tokens, tokens, logits=False) - weights < 2 * measured


def test_a_large_batch_or_little_memory_does_not_suffice(free):
    free(20)
    assert suffices(LLAMA, 1000, 500, logits=False)
    assert not suffices(LLAMA, 10_000, 500, logits=False)
    free(5)
    assert not suffices(LLAMA, 1000, 500, logits=False)
    free(8)
    assert suffices(BertConfig(), 100, 100, logits=False)


def test_a_configuration_without_widths_is_not_known_to_suffice(free):
    free(1000)
    assert not suffices(SimpleNamespace(get_text_config=SimpleNamespace), 1, 1, logits=False)


@pytest.mark.parametrize(
    ("is_open", "accelerator", "gigabytes", "off"),
    [(True, False, 100, True), (False, False, 100, False), (True, True, 100, False), (True, False, 1, False)],
)
def test_it_is_off_only_if_the_flags_leave_it_open(free, monkeypatch, is_open, accelerator, gigabytes, off):
    free(gigabytes)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: accelerator)
    arguments = SimpleNamespace(disable_gradient_checkpointing=False)
    with left_open(is_open):
        settle(arguments, LLAMA, 500, 250, logits=True, speaks=False)
    assert arguments.disable_gradient_checkpointing is off


def test_the_decision_ends_with_the_run():
    with left_open(True):
        assert gradient_checkpointing._left_open.get()
    assert not gradient_checkpointing._left_open.get()
