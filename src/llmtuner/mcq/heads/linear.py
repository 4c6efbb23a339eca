"""STEP2's classifier: scores from pooled states by one matrix."""

from __future__ import annotations

import torch
from torch import nn

from llmtuner.mcq.heads.base import OptionHead, TokenStates, linear
from llmtuner.mcq.settings import McqSettings


class LinearHead(OptionHead):
    """A linear layer from an option's pooled state to its score, in fp32 whatever the backbone's precision.

    In bf16, one in eight questions with five options has tied scores; the cast to fp32 must come before the matmul.

    Shapes: features ``[Q, N, D]`` of any dtype -> scores ``[Q, N]`` in fp32. With `outputs` above one, a question has
    a single vector (joint prompt): ``[Q, 1, D]`` -> ``[Q, outputs]``.

    Args:
        hidden_size: D.
        outputs: 1 for one score per option; the number of options if one vector stands for all of them.
    """

    def __init__(self, hidden_size: int, outputs: int = 1) -> None:
        super().__init__()
        self.mcq_score = nn.Linear(hidden_size, outputs, dtype=torch.float32)

    @classmethod
    def make(cls, hidden_size: int, settings: McqSettings) -> LinearHead:
        """The head that the settings describe."""
        return cls(hidden_size, settings.num_options or 1)

    def forward(self, features_QND: torch.Tensor, mask_QN: torch.Tensor, *_: TokenStates | None) -> torch.Tensor:
        """Scores of the options; the caller masks those that do not exist."""
        return linear(self.mcq_score, features_QND).flatten(1)
