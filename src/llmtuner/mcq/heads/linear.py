"""STEP2's classifier: scores from pooled states by one matrix."""

from __future__ import annotations

import torch
from torch import nn


class LinearHead(nn.Module):
    """A linear layer from an option's pooled state to its score, in fp32 whatever the backbone computes in.

    In bf16, five scores of a question tie in one question out of eight; rounding has to end before the matmul.

    Shapes: features ``[Q, N, D]`` of any dtype -> scores ``[Q, N]`` in fp32. With `outputs` above one, a question has
    a single vector (joint prompt): ``[Q, 1, D]`` -> ``[Q, outputs]``.

    Args:
        hidden_size: D.
        outputs: 1 for a number an option; the number of options where one vector stands for all of them.
    """

    ds_grads_remaining = 0  # DeepSpeed's ZeRO-3 counts on it, and sees the head through peft's wrapper only

    def __init__(self, hidden_size: int, outputs: int = 1) -> None:
        super().__init__()
        self.mcq_score = nn.Linear(hidden_size, outputs, dtype=torch.float32)

    def forward(self, features_QND: torch.Tensor) -> torch.Tensor:
        """Scores of the options; the caller masks those that do not exist."""
        weight, bias = self.mcq_score.weight.float(), self.mcq_score.bias.float()  # DeepSpeed may have cast them
        with torch.autocast(features_QND.device.type, enabled=False):
            return nn.functional.linear(features_QND.float(), weight, bias).flatten(1)
