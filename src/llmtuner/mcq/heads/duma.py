"""DUMA: passage and answer attend to each other, both ways at once.

Shape legend: Q questions, N options, M 1 or N, P passage tokens, A answer tokens, D hidden width, W bottleneck width.
"""

from __future__ import annotations

import torch
from torch import nn

from llmtuner.mcq.duma_options import DumaOptions
from llmtuner.mcq.heads.attention import CoAttention
from llmtuner.mcq.heads.base import OptionHead, TokenStates, linear, masked_mean, norm
from llmtuner.mcq.settings import McqSettings


class DumaHead(OptionHead):
    """Dual multi-head co-attention beside the linear head.

        X = LN(W_d H)                                      token states, D -> W
        U = LN(X^P + MHA(X^P; X^A)),  V = LN(X^A + MHA(X^A; X^P))      both from the previous layer, k layers
        s = w_l . f + b + w . [mean U; mean V]             f: the linear head's pooled state; w = 0 at the start

    Means are over tokens that exist. With w = 0, training starts from exactly the scores of STEP2's head. In a causal
    model the passage's states have seen no option; U is where they first do.

    Source: Zhu, Zhao and Li, "DUMA" (arXiv 2001.09415, IEEE/ACM TASLP 2022). The preset ``paper`` has the attention
    block of its official code: D wide, the model's heads, one module for both directions, no W_d, W_o, residual or LN.
    The skip and w = 0 are ours, and its dropout before the last layer is left out. Published gains are relative to a
    mean of the tokens, on encoders; docs/results.md has what we measured.

    Args:
        hidden_size: D.
        options: width W, heads, layers, and the rest.
    """

    reads_tokens = True

    def __init__(self, hidden_size: int, options: DumaOptions) -> None:
        super().__init__()
        width, plain = options.width, options.preset == "paper"
        self._layers = options.layers
        self.mcq_score = nn.Linear(hidden_size, 1, dtype=torch.float32)
        self.mcq_narrow = None if plain else nn.Linear(hidden_size, width, dtype=torch.float32)
        self.mcq_narrow_norm = None if plain else nn.LayerNorm(width, dtype=torch.float32)
        # The paper's block is one module, however many times it is run; ours has separate weights in each layer.
        made = 1 if plain else options.layers
        directions = 1 if options.share else 2
        self.mcq_attend = nn.ModuleList(
            CoAttention(width, options.heads, output=not plain, dropout=options.dropout)
            for _ in range(made * directions)
        )
        self.mcq_norm = nn.ModuleList(nn.LayerNorm(width, dtype=torch.float32) for _ in range(0 if plain else made))
        self._directions = directions
        self.mcq_fuse = nn.Linear(2 * width, 1, bias=False, dtype=torch.float32)
        nn.init.zeros_(self.mcq_fuse.weight)

    @classmethod
    def make(cls, hidden_size: int, settings: McqSettings) -> DumaHead:
        """The head that the settings describe."""
        assert settings.duma is not None, "the settings of a co-attention head have its measures"
        return cls(hidden_size, settings.duma)

    def forward(
        self, features_QND: torch.Tensor, mask_QN: torch.Tensor, passage: TokenStates, answer: TokenStates
    ) -> torch.Tensor:
        """Scores of the options; the caller masks those that do not exist."""
        passage, answer = self._narrow(passage), self._narrow(answer)
        for layer in range(self._layers):
            passage, answer = self._co_attend(layer, passage, answer)
        answer = self._compare(answer)
        pooled = [masked_mean(tokens.states, tokens.mask) for tokens in (passage, answer)]
        skipped_QN = linear(self.mcq_score, features_QND).squeeze(-1)
        return skipped_QN + linear(self.mcq_fuse, torch.cat(pooled, -1)).squeeze(-1)

    def _narrow(self, tokens: TokenStates) -> TokenStates:
        if self.mcq_narrow is None or self.mcq_narrow_norm is None:
            return TokenStates(tokens.states.float(), tokens.mask)
        return TokenStates(norm(self.mcq_narrow_norm, linear(self.mcq_narrow, tokens.states)), tokens.mask)

    def _co_attend(self, layer: int, passage: TokenStates, answer: TokenStates) -> tuple[TokenStates, TokenStates]:
        place = layer * self._directions % len(self.mcq_attend)
        of_passage = self.mcq_attend[place](passage, answer)
        of_answer = self.mcq_attend[place + self._directions - 1](answer, passage)
        if len(self.mcq_norm):
            of_passage = norm(self.mcq_norm[layer], passage.states + of_passage)
            of_answer = norm(self.mcq_norm[layer], answer.states + of_answer)
        options = of_answer.shape[1]
        return TokenStates(of_passage, passage.mask.expand(-1, options, -1)), TokenStates(of_answer, answer.mask)

    def _compare(self, answer: TokenStates) -> TokenStates:
        """The answers unchanged; CDUMA compares them here."""
        return answer
