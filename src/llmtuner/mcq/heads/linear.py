"""STEP2's classifier: one number from one vector."""

from __future__ import annotations

import torch
from torch import nn


class LinearHead(nn.Module):
    """A linear layer from an option's pooled state to its score, in fp32 whatever the backbone computes in.

    In bf16, five scores of a question tie in one question out of eight; rounding has to end before the matmul.

    Shapes: features ``[Q, N, D]`` of any dtype -> scores ``[Q, N]`` in fp32.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.score = nn.Linear(hidden_size, 1, dtype=torch.float32)

    def forward(self, features_QND: torch.Tensor) -> torch.Tensor:
        """Scores of the options; the caller masks those that do not exist."""
        with torch.autocast(features_QND.device.type, enabled=False):
            return self.score(features_QND.float()).squeeze(-1)
