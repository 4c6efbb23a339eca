"""Cross-entropy over options equals torch's, over the options that exist."""

from __future__ import annotations

import torch

from llmtuner.mcq.losses import LOSSES


def test_smoothing_stays_among_the_options_that_exist():
    scores = torch.tensor([[2.0, 1.0, 9.0], [0.5, 0.0, -0.5]], requires_grad=True)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    answers = torch.tensor([0, 1])
    losses = LOSSES["cross_entropy"](scores, answers, mask, label_smoothing=0.1)
    expected = [
        torch.nn.functional.cross_entropy(scores[:1, :2], answers[:1], label_smoothing=0.1),
        torch.nn.functional.cross_entropy(scores[1:], answers[1:], label_smoothing=0.1),
    ]
    torch.testing.assert_close(losses, torch.stack(expected))
    losses.sum().backward()
    assert scores.grad[0, 2] == 0
    assert torch.isfinite(scores.grad).all()
