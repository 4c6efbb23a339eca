"""Multi-head attention between two spans of tokens, in fp32; either span may be empty.

Shape legend: Q questions, N options, M 1 or N, S queries, T keys, W width, H heads.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from llmtuner.mcq.heads.base import TokenStates, linear


class CoAttention(nn.Module):
    """softmax(x W_q (y W_k)^T / sqrt(W / H)) y W_v, followed by W_o unless `output` is False.

    Args:
        width: W, of queries, keys and values.
        heads: H; divides W.
        dropout: of the attention weights, in training.
    """

    ds_grads_remaining = 0

    def __init__(self, width: int, heads: int, *, output: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self._heads, self._dropout = heads, dropout
        self.mcq_query = nn.Linear(width, width, dtype=torch.float32)
        self.mcq_key = nn.Linear(width, width, dtype=torch.float32)
        self.mcq_value = nn.Linear(width, width, dtype=torch.float32)
        self.mcq_output = nn.Linear(width, width, dtype=torch.float32) if output else None

    def forward(self, queries: TokenStates, keys: TokenStates) -> torch.Tensor:
        """Attention of each query to the keys of its own option: [Q, N, S, W], N being the larger of both M."""
        options = max(queries.mask.shape[1], keys.mask.shape[1])
        query_BHSW = self._split(linear(self.mcq_query, queries.states), options)
        key_BHTW = self._split(linear(self.mcq_key, keys.states), options)
        value_BHTW = self._split(linear(self.mcq_value, keys.states), options)
        allowed_B11T = keys.mask.expand(-1, options, -1).flatten(0, 1)[:, None, None, :]
        seen_BHSW = self._attend(query_BHSW, key_BHTW, value_BHTW, allowed_B11T)
        return self._join(seen_BHSW, options)

    def across(self, tokens: TokenStates) -> torch.Tensor:
        """Attention of each option's tokens to the tokens of the question's other options: [Q, N, S, W]."""
        options, length = tokens.mask.shape[1:]
        query_QHSW, key_QHSW, value_QHSW = (
            self._split(linear(layer, tokens.states).flatten(1, 2)[:, None], 1)
            for layer in (self.mcq_query, self.mcq_key, self.mcq_value)
        )
        option_S = torch.arange(options, device=tokens.mask.device).repeat_interleave(length)
        others_SS = option_S[:, None] != option_S[None, :]
        allowed_Q1SS = (others_SS & tokens.mask.flatten(1)[:, None, :])[:, None]
        seen_QHSW = self._attend(query_QHSW, key_QHSW, value_QHSW, allowed_Q1SS)
        return self._join(seen_QHSW, 1).unflatten(2, (options, length)).squeeze(1)

    def _split(self, states_QMSW: torch.Tensor, options: int) -> torch.Tensor:
        """[Q, M, S, W] -> [Q N, H, S, W / H]."""
        expanded_QNSW = states_QMSW.expand(-1, options, -1, -1)
        return expanded_QNSW.flatten(0, 1).unflatten(-1, (self._heads, -1)).transpose(1, 2)

    def _join(self, states_BHSW: torch.Tensor, options: int) -> torch.Tensor:
        joined_QNSW = states_BHSW.transpose(1, 2).flatten(2).unflatten(0, (-1, options))
        return joined_QNSW if self.mcq_output is None else linear(self.mcq_output, joined_QNSW)

    def _attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, allowed: torch.Tensor
    ) -> torch.Tensor:
        # A query without any key sees all keys, and its result is set to zero: an all-false mask gives NaN in some
        # kernels, and an additive one silently averages over padding.
        has_key = allowed.any(-1, keepdim=True)
        dropout = self._dropout if self.training else 0.0
        with torch.autocast(query.device.type, enabled=False):
            seen = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=allowed | ~has_key, dropout_p=dropout
            )
        return seen * has_key
