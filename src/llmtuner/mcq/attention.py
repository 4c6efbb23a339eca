"""The tree mask of packed rows: an option sees the prefix and itself, never another option.

Distances are measured in positions, not in places of the row, so that sliding windows hold as if each option stood
alone. (transformers' own masks cannot express this, and sdpa ignores a model's `sliding_window`: the mask is all there
is.)
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from llmtuner.mcq.layout import PADDING, PREFIX, Rows


def tree_mask(rows: Rows, window: int | None = None) -> torch.Tensor:
    """Who may look at whom.

    Args:
        window: positions that a token sees, itself included; None for all.

    Returns:
        bool [B, 1, T, T], true where the token of the third axis sees that of the fourth. Padding sees itself, since
        a row of nothing but false gives NaN.
    """
    segment_BT, position_BT = rows.segment_BT, rows.position_ids_BT
    query_BT1, key_B1T = segment_BT[:, :, None], segment_BT[:, None, :]
    distance_BTT = position_BT[:, :, None] - position_BT[:, None, :]
    own_BTT = (query_BT1 == key_B1T) & (distance_BTT >= 0)
    of_prefix_BTT = (key_B1T == PREFIX) & (query_BT1 != PADDING)
    seen_BTT = own_BTT | (of_prefix_BTT & (distance_BTT >= 0))
    if window is not None:
        seen_BTT = seen_BTT & (distance_BTT < window)
    itself_TT = torch.eye(segment_BT.shape[1], dtype=torch.bool, device=segment_BT.device)
    padding_BT1 = query_BT1 == PADDING
    return torch.where(padding_BT1, itself_TT, seen_BTT & (key_B1T != PADDING))[:, None]


def additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A bool mask as numbers to add to attention scores, the only form that both eager and sdpa understand.

    eager adds a bool mask as 0 and 1, which is wrong without any error.
    """
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


def attention_inputs(rows: Rows, backbone: nn.Module, dtype: torch.dtype) -> dict[str, Any]:
    """What a Hugging Face backbone needs beside the ids: position ids and a mask, or one mask for each layer type."""
    if not rows.packed:
        return {"attention_mask": (rows.segment_BT != PADDING).long(), "position_ids": rows.position_ids_BT}
    config: Any = backbone.config
    full = additive(tree_mask(rows), dtype)
    window = getattr(config, "sliding_window", None)
    sliding = full if window is None else additive(tree_mask(rows, window), dtype)
    mask: Any = sliding
    if takes_mask_per_layer_type(backbone):
        mask = {"full_attention": full, "sliding_attention": sliding}
    return {"attention_mask": mask, "position_ids": rows.position_ids_BT}


def takes_mask_per_layer_type(backbone: nn.Module) -> bool:
    """Whether the model's forward looks its masks up by layer type (Gemma, Qwen: some layers slide, some see all).

    Nothing in transformers' public interface tells, so its source is asked; the check of both layouts on the first
    questions would notice a wrong answer.
    """
    return "causal_mask_mapping" in inspect.getsource(type(backbone).forward)
