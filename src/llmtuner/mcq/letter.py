"""Scores options by the language model's logits of their letters, after a joint prompt.

Shape legend: B rows of a batch, T tokens, D hidden width, V vocabulary, L letters of the batch, N options.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from llmtuner.mcq.attention import packed_mask
from llmtuner.mcq.lm_head import forward_replaced, linear_in_fp32, plain_head
from llmtuner.mcq.model import backbone_of
from llmtuner.mcq.outputs import Scores
from llmtuner.mcq.unwrap import unwrap


def letter_scores(model: Any, inputs: dict[str, Any]) -> Scores:
    """The letter head, for a model that `llmtuner.mcq.model.attach_head` has prepared.

    Args:
        inputs: a batch of joint prompts as `llmtuner.mcq.collate.Collator` makes it.
    """
    return Scores(letter_logits(model, type(model).forward, inputs), inputs["mask"])


def plain_letter_scores(model: Any, inputs: dict[str, Any]) -> Scores:
    """The same for a language model as it was loaded, or a PEFT model around one."""
    return Scores(letter_logits(model, type(model).__call__, inputs), inputs["mask"])


def letter_logits(model: nn.Module, forward: Callable[..., Any], inputs: dict[str, Any]) -> torch.Tensor:
    """The fp32 logits of letters at the last token of each row: [B, N]. Gradients flow.

    Args:
        model: a causal language model, or a PEFT model around one.
        forward: called as `forward(model, **inputs)` for an output with `logits`.
        inputs: `input_ids`, `attention_mask` and `position_ids`, padded on the left; `letter_ids [B, N]`, the token of
            each option's letter.
    """
    letter_ids_BN = inputs["letter_ids"]
    letters_L = letter_ids_BN.unique()  # sorted
    # Only the last token's logits are needed: [B, T, V] in fp32 would be the largest tensor of the pass.
    reads = {name: inputs.get(name) for name in ("input_ids", "attention_mask", "position_ids")}
    if inputs.get("past") is not None:
        reads |= behind_shots(model, inputs)
    if _keeps_last_logits(type(unwrap(model)).forward):
        reads["logits_to_keep"] = 1
    with _fp32_head(model, letters_L) as narrow:
        logits_BTV = forward(model, use_cache="past_key_values" in reads, **reads).logits
    places_BN = torch.searchsorted(letters_L, letter_ids_BN) if narrow else letter_ids_BN
    return logits_BTV[:, -1].float().gather(1, places_BN)


def behind_shots(model: nn.Module, inputs: dict[str, Any]) -> dict[str, Any]:
    """What rows behind known states need beside their ids: these states, and a mask that covers both."""
    backbone, past = backbone_of(model), inputs["past"]
    dtype = next(backbone.parameters()).dtype
    mask = packed_mask(backbone, inputs["segments"], inputs["position_ids"], 0, dtype, past.get_seq_length())
    return {"attention_mask": mask, "past_key_values": past}


@contextmanager
def _fp32_head(model: nn.Module, letters_L: torch.Tensor) -> Iterator[bool]:
    """Make the language-model head compute only the letters' logits, in fp32; yield whether it does.

    What a model does to its logits after the head (soft-capping, scaling) still happens. A head whose weight is not a
    plain matrix (quantised, sharded) is left as it is.
    """
    head = plain_head(model)
    if head is None or head.weight.shape[0] <= int(letters_L[-1]):
        yield False
        return
    rows_L = letters_L.to(head.weight.device)
    weight_LD = head.weight[rows_L].float()
    bias_L = None if head.bias is None else head.bias[rows_L].float()
    with forward_replaced(head, linear_in_fp32(weight_LD, bias_L)):
        yield True


@lru_cache
def _keeps_last_logits(forward: Callable[..., Any]) -> bool:
    return "logits_to_keep" in inspect.signature(forward).parameters
