"""Who sees whom in packed rows: an option sees the prefix and itself, never another option.

Distances are measured in positions, not in places of the row, so that sliding windows hold as if each option stood
alone. (transformers' own masks cannot express this, and sdpa ignores a model's `sliding_window`: the mask is all there
is.)

A dense mask makes options attend to each other and throws the result away. Where a model allows it, `SPLIT` attention
computes the common part of the prefixes with the plain causal kernel, without a mask, and masks the rest only.

Shape legend: B rows, T tokens of a row, S tokens of the common prefix part, H heads, D width of a head.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from llmtuner.mcq.layouts.base import PADDING, PREFIX

SPLIT = "mcq_split"
# cuDNN's kernel gives NaN gradients for some masked lengths on Hopper (pytorch issue 196678; seen on an H100:
# benchmarks/results/gpu.json).
_MASKED_KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def tree_mask(
    segments_BT: torch.Tensor, positions_BT: torch.Tensor, window: int | None = None, first: int = 0
) -> torch.Tensor:
    """Who may look at whom.

    Args:
        segments_BT, positions_BT: as in `llmtuner.mcq.collate.Collator`.
        window: positions that a token sees, itself included; None for all.
        first: leave out the queries in front of this place of the row.

    Returns:
        bool [B, 1, T - first, T], true where the token of the third axis sees that of the fourth. Padding sees itself,
        since a row of nothing but false gives NaN.
    """
    query_BQ1, key_B1T = segments_BT[:, first:, None], segments_BT[:, None, :]
    distance_BQT = positions_BT[:, first:, None] - positions_BT[:, None, :]
    own_BQT = query_BQ1 == key_B1T
    of_prefix_BQT = (key_B1T == PREFIX) & (query_BQ1 != PADDING)
    seen_BQT = (own_BQT | of_prefix_BQT) & (distance_BQT >= 0)
    if window is not None:
        seen_BQT = seen_BQT & (distance_BQT < window)
    length = segments_BT.shape[1]
    itself_QT = torch.eye(length, dtype=torch.bool, device=segments_BT.device)[first:]
    return torch.where(query_BQ1 == PADDING, itself_QT, seen_BQT & (key_B1T != PADDING))[:, None]


def additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A bool mask as numbers to add to attention scores, the only form that both eager and sdpa understand.

    eager adds a bool mask as 0 and 1, which is wrong without any error.
    """
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


def packed_mask(
    backbone: nn.Module, segments_BT: torch.Tensor, positions_BT: torch.Tensor, shared: int, dtype: torch.dtype
) -> Any:
    """The `attention_mask` of packed rows for a Hugging Face backbone: a tensor, or one for each type of layer.

    Args:
        shared: tokens from the start of the rows that belong to the prefix in every one of them.
    """
    config: Any = backbone.config
    splits = config._attn_implementation == SPLIT
    window = getattr(config, "sliding_window", None)
    if window is not None and window >= segments_BT.shape[1]:
        window = None  # no token has so many before it
    # The queries of the common part get no mask, which says "all before me": not so in a window.
    full = additive(tree_mask(segments_BT, positions_BT, first=shared if splits else 0), dtype)
    sliding = full if window is None else additive(tree_mask(segments_BT, positions_BT, window), dtype)
    if takes_mask_per_layer_type(backbone):
        return {"full_attention": full, "sliding_attention": sliding}
    return sliding


def takes_mask_per_layer_type(backbone: nn.Module) -> bool:
    """Whether the model's forward looks its masks up by layer type (Gemma, Qwen: some layers slide, some see all).

    Nothing in transformers' public interface tells, so its source is asked; the check of both layouts on the first
    questions would notice a wrong answer.
    """
    return _names_mask_mapping(type(backbone).forward)


@lru_cache
def _names_mask_mapping(forward: Callable[..., Any]) -> bool:
    # Reading the source takes milliseconds: once a class, not once a forward pass.
    return "causal_mask_mapping" in inspect.getsource(forward)


def split_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """sdpa; where the mask has S rows fewer than there are queries, the first S are causal without one.

    Equal to sdpa under the whole mask, since those S tokens belong to the prefix in every row.

    Shapes: query ``[B, H, T, D]``, key and value ``[B, H or fewer, T, D]``, mask ``[B, 1, T - S, T]`` -> ``[B, T, H,
    D]``.
    """
    if attention_mask is None or query.shape[2] == 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    settings.pop("is_causal", None)
    shared = query.shape[2] - attention_mask.shape[-2]
    mask = attention_mask.to(query.dtype) if attention_mask.is_floating_point() else attention_mask
    with sdpa_kernel(_MASKED_KERNELS) if query.is_cuda else nullcontext():
        rest, _ = sdpa_attention_forward(module, query[:, :, shared:], key, value, mask, **settings)
    if not shared:
        return rest, None
    prefix = (states[:, :, :shared] for states in (query, key, value))
    common, _ = sdpa_attention_forward(module, *prefix, None, is_causal=True, **settings)
    return torch.cat([common, rest], dim=1), None


def _register() -> None:
    """Make `SPLIT` known to transformers; a second call changes nothing."""
    AttentionInterface.register(SPLIT, split_attention)
    AttentionMaskInterface.register(SPLIT, sdpa_mask)  # for rows that are not packed


def keep_soft_cap(model: Any) -> str:
    """Compute soft-capped attention (Gemma2) as eager, for any layout; return a line to say, or "".

    sdpa leaves the cap out without a word, in all layouts alike, so that comparing them shows nothing.
    """
    config = model.config
    if getattr(config, "attn_logit_softcapping", None) is None or config._attn_implementation == "eager":
        return ""
    model.set_attn_implementation("eager")
    return "attention: eager, since sdpa would leave out this model's soft-capping"


@contextmanager
def finite_gradients(model: Any) -> Iterator[None]:
    """Leave cuDNN's kernel out, for the time being, where the model's own attention is called, masks and all.

    `SPLIT` chooses its kernels call by call, and keeps cuDNN's for what needs no mask.
    """
    before = torch.backends.cuda.cudnn_sdp_enabled()
    if model.config._attn_implementation != SPLIT:
        torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def choose_attention(model: Any) -> str:
    """Set the attention that packed rows need on a causal model; return a line to say, or ""."""
    config = model.config
    before = config._attn_implementation
    if before == "eager":
        return ""
    if getattr(model, "_supports_attention_backend", False):
        _register()
        model.set_attn_implementation(SPLIT)
    elif before != "sdpa":
        model.set_attn_implementation("sdpa")
    if before in ("sdpa", config._attn_implementation):
        return ""
    return f"attention: sdpa, since {before} cannot show an option the prefix and itself only"
