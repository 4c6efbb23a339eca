"""CDUMA (our definition): DUMA with the options compared with each other."""

from __future__ import annotations

import torch
from torch import nn

from llmtuner.mcq.duma_options import DumaOptions
from llmtuner.mcq.heads.attention import CoAttention
from llmtuner.mcq.heads.base import TokenStates, linear
from llmtuner.mcq.heads.duma import DumaHead


class CdumaHead(DumaHead):
    """DUMA plus a gated comparison across the options:

        C_i = MHA(V_i; all V_j, j != i)
        g_i = sigmoid(W_g [V_i; C_i] + b_g)
        V_i <- g_i * V_i + (1 - g_i) * C_i                 then as in DUMA

    No public definition of the name CDUMA was found; this one is ours, and should be cited as ours. It combines DUMA,
    OCN's comparison of options by their tokens (Ran et al., arXiv 1903.03033) and the gate of DCMN+ (Zhang et al.,
    arXiv 1908.11511). The order of the options does not matter: permuting them permutes the scores.

    Args:
        hidden_size: D.
        options: as in DUMA.
    """

    def __init__(self, hidden_size: int, options: DumaOptions) -> None:
        super().__init__(hidden_size, options)
        width = options.width
        self.mcq_across = CoAttention(width, options.heads, output=options.preset != "paper", dropout=options.dropout)
        self.mcq_gate = nn.Linear(2 * width, width, dtype=torch.float32)

    def _compare(self, answer: TokenStates) -> TokenStates:
        compared = self.mcq_across.across(answer)
        gate = torch.sigmoid(linear(self.mcq_gate, torch.cat([answer.states, compared], -1)))
        return TokenStates(gate * answer.states + (1 - gate) * compared, answer.mask)
