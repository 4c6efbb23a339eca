"""A backbone and a head that score the options of questions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from llmtuner.data.option import OptionTokens
from llmtuner.mcq.attention import attention_inputs
from llmtuner.mcq.layout import LAYOUTS, Rows
from llmtuner.mcq.pooling import POOLINGS


class OptionScorer(nn.Module):
    """Scores of every option of a batch of questions, alike in both layouts.

    Args:
        backbone: a Hugging Face model without a language-model head (`AutoModel`, or `get_decoder()` of a causal one).
        head: from pooled states ``[Q, N, D]`` to scores ``[Q, N]`` in fp32.
        layout: "shared_prefix" (causal models) or "per_option".
        pooling: "last", "first", "mean" or "option".

    Raises:
        ValueError: an unknown layout or pooling.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, *, layout: str = "shared_prefix", pooling: str = "last"
    ) -> None:
        super().__init__()
        for name, table, what in ((layout, LAYOUTS, "layout"), (pooling, POOLINGS, "pooling")):
            if name not in table:
                raise ValueError(f"unknown {what} {name!r}; known are {', '.join(table)}")
        self.backbone, self.head = backbone, head
        self.layout, self.pooling = layout, pooling

    def forward(self, questions: Sequence[OptionTokens], pad_token_id: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Score a batch.

        Returns:
            (scores ``[Q, N]`` in fp32, true ``[Q, N]`` where there is an option)
        """
        parameter = next(self.backbone.parameters())
        rows = LAYOUTS[self.layout](questions, pad_token_id).to(parameter.device)
        inputs = attention_inputs(rows, self.backbone, parameter.dtype)
        hidden_BTD = self.backbone(input_ids=rows.input_ids_BT, use_cache=False, **inputs).last_hidden_state
        features_QND = POOLINGS[self.pooling](hidden_BTD, rows, questions)
        return self.head(features_QND), existing(rows).to(parameter.device)


def existing(rows: Rows) -> torch.Tensor:
    """True [Q, N] where a question has an option."""
    most = max(map(len, rows.places))
    return torch.tensor([[n < len(places) for n in range(most)] for places in rows.places])
