"""Encoders for --stage mcq: which parameters are trained."""

from __future__ import annotations

import pytest
from step2 import train_command
from transformers import Trainer

from llmtuner.cli.main import main


@pytest.fixture
def trainable(monkeypatch) -> set[str]:
    """Collects the names of the parameters in a run's optimizer."""
    names: set[str] = set()
    original = Trainer.create_optimizer

    def create_optimizer(self, *arguments):
        names.update(name for name, parameter in self.model.named_parameters() if parameter.requires_grad)
        return original(self, *arguments)

    monkeypatch.setattr(Trainer, "create_optimizer", create_optimizer)
    return names


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_an_encoders_pooler_is_not_trained(tuning, tiny_bert, trainable, tmp_path):
    """No score depends on it, so it never gets a gradient, and DDP fails on such a parameter."""
    few = ("--max_samples", "2", "--max_steps", "1", "--save_strategy", "no", "--finetuning_type", tuning)
    assert main(train_command(tiny_bert, tmp_path / "out", *few)) == 0
    assert any("encoder.layer" in name for name in trainable)
    assert any("mcq_head" in name for name in trainable)
    assert not [name for name in trainable if "pooler" in name]
