"""The linear classifier that also sees the mean of a question's other options."""

from __future__ import annotations

import torch
from torch import nn

from llmtuner.mcq.heads.base import OptionHead, TokenStates, linear
from llmtuner.mcq.settings import McqSettings


class OptionMeanHead(OptionHead):
    """s_i = w . f_i + v . mean of f_j over j != i + b, with v = 0 at the start, when it equals the linear head.

    Attributed to the winners of Kaggle's LLM Science Exam (2023), not confirmed by their write-up. Prefer it with the
    loss ``binary``, where a score depends on the other options.

    Trap: s_i = (w - v / (n - 1)) . f_i + v . sum_j f_j / (n - 1) + b. The last two terms are the same for all options
    of a question, so a loss that only compares options (softmax, rankings) sees a linear head. Only the speed of
    learning differs, and questions with other numbers of options.

    Shapes: features ``[Q, N, D]``, mask ``[Q, N]`` -> scores ``[Q, N]`` in fp32. With a single option, the mean is
    zero.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.mcq_score = nn.Linear(hidden_size, 1, dtype=torch.float32)
        self.mcq_others = nn.Linear(hidden_size, 1, bias=False, dtype=torch.float32)
        nn.init.zeros_(self.mcq_others.weight)

    @classmethod
    def make(cls, hidden_size: int, settings: McqSettings) -> OptionMeanHead:
        """The head that the settings describe."""
        return cls(hidden_size)

    def forward(self, features_QND: torch.Tensor, mask_QN: torch.Tensor, *_: TokenStates | None) -> torch.Tensor:
        """Scores of the options; the caller masks those that do not exist."""
        features_QND = features_QND.float() * mask_QN[..., None]
        others_Q = (mask_QN.sum(-1) - 1).clamp(min=1)
        others_QND = (features_QND.sum(1, keepdim=True) - features_QND) / others_Q[:, None, None]
        return (linear(self.mcq_score, features_QND) + linear(self.mcq_others, others_QND)).squeeze(-1)
