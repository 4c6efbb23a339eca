"""What the mixin of every trainer does beyond transformers' Trainer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from llmtuner.errors import RunError
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


class Loading:
    """A Trainer that loads a checkpoint by the names of its weights."""

    def __init__(self):
        self.callback_handler = SimpleNamespace(callbacks=[])
        self.model = torch.nn.ModuleDict({"body": torch.nn.Linear(2, 2), "output": torch.nn.Linear(2, 2)})
        self.model["output"].weight = self.model["body"].weight

    def _issue_warnings_after_load(self, load_result):
        self.warned = True


@pytest.mark.parametrize(
    ("missing", "unexpected", "message"),
    [
        (["output.bias"], [], "lacks output.bias"),
        ([], ["body.gamma"], "has other weights: body.gamma"),
        (["body.weight", "output.weight"], [], "lacks body.weight, output.weight"),
        (["output.weight"], [], ""),  # tied to one that was loaded
    ],
)
def test_a_checkpoint_that_lacks_weights_is_an_error(missing, unexpected, message):
    """It was a warning of the library, and the run said "restored: weights"."""
    trainer = type("Kept", (KeptTraining, Loading), {})()
    result = SimpleNamespace(missing_keys=missing, unexpected_keys=unexpected)
    if not message:
        trainer._issue_warnings_after_load(result)
        assert trainer.warned
        return
    with pytest.raises(RunError, match=message):
        trainer._issue_warnings_after_load(result)
