"""What the mixin of every trainer does beyond transformers' Trainer."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from llmtuner.runs.training import KeptTraining


class Trainer:
    def __init__(self):
        self.callback_handler = SimpleNamespace(callbacks=[])

    def _load_optimizer_and_scheduler(self, checkpoint):
        self.state = torch.load(checkpoint, map_location=torch.device("cpu:0"), weights_only=True)


def test_a_training_in_several_processes_on_a_cpu_restores_its_optimizer(tmp_path):
    """It could not be resumed: "don't know how to restore data location ... (tagged with cpu:0)"."""
    torch.save({"exp_avg": torch.arange(3.0)}, tmp_path / "optimizer.pt")
    trainer = type("Kept", (KeptTraining, Trainer), {})()
    trainer._load_optimizer_and_scheduler(tmp_path / "optimizer.pt")
    assert trainer.state["exp_avg"].tolist() == [0, 1, 2]
    assert trainer.state["exp_avg"].device == torch.device("cpu")
