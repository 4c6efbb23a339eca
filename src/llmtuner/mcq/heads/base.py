"""What all heads share: fp32 from the first matmul on, and one signature.

Shape legend: Q questions, N options (padded to the most in the batch), D hidden width, S tokens, M 1 or N.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from llmtuner.mcq.settings import McqSettings


class TokenStates(NamedTuple):
    """Token states ``[Q, M, S, D]`` and which of them exist, ``[Q, M, S]``; M is 1 where all options share them."""

    states: torch.Tensor
    mask: torch.Tensor


class OptionHead(nn.Module, ABC):
    """Scores options from their pooled states, and from token states where `reads_tokens` says so.

    Call: ``head(features_QND, mask_QN)``, followed by passage and answer (`TokenStates`) for heads that read tokens
    (other heads ignore them). It returns scores ``[Q, N]`` in fp32; the caller masks options that do not exist. Layers
    of a head are named ``mcq_...``, so that an adapter's target names never match them.
    """

    reads_tokens: ClassVar[bool] = False
    ds_grads_remaining = 0  # DeepSpeed's ZeRO-3 needs it, and sees the head only through peft's wrapper

    @classmethod
    @abstractmethod
    def make(cls, hidden_size: int, settings: McqSettings) -> OptionHead:
        """A fresh head as the settings describe it."""

    def count(self) -> int:
        """The number of parameters of the head."""
        return sum(parameter.numel() for parameter in self.parameters())


def linear(layer: nn.Linear, states: torch.Tensor) -> torch.Tensor:
    """A linear layer in fp32, whatever DeepSpeed or a caller has cast its weights or inputs to."""
    bias = None if layer.bias is None else layer.bias.float()
    with torch.autocast(states.device.type, enabled=False):
        return functional.linear(states.float(), layer.weight.float(), bias)


def norm(layer: nn.LayerNorm, states: torch.Tensor) -> torch.Tensor:
    """A layer norm in fp32."""
    with torch.autocast(states.device.type, enabled=False):
        return functional.layer_norm(
            states.float(), layer.normalized_shape, layer.weight.float(), layer.bias.float(), layer.eps
        )


def masked_mean(states_QMSD: torch.Tensor, mask_QMS: torch.Tensor) -> torch.Tensor:
    """The mean over the tokens that exist, zeros if there are none: [Q, M, D]."""
    weights_QMS = mask_QMS / mask_QMS.sum(-1, keepdim=True).clamp(min=1)
    return (states_QMSD * weights_QMS[..., None]).sum(2)
