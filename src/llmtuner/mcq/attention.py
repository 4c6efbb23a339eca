"""Attention masks of packed rows: an option sees the prefix and itself, never another option.

Distances are measured in positions, not in indices of the row, so that sliding windows work as if each option had a row
of its own. (transformers' own masks cannot express this, and sdpa ignores a model's `sliding_window`, so the mask has
to do it.)

With a dense mask, attention between options is computed and thrown away. Where a model allows it, `SPLIT` attention
computes the common part of the prefixes with the plain causal kernel, without a mask, and masks only the rest.

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
    """The attention mask of packed rows.

    Args:
        segments_BT, positions_BT: as in `llmtuner.mcq.collate.Collator`.
        window: number of positions that a token sees, itself included; None for all.
        first: leave out the queries before this index of the row.

    Returns:
        bool [B, 1, T - first, T], true where the token of the third axis sees that of the fourth. Padding sees itself,
        since a row that is all false gives NaN.
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

    eager adds a bool mask as 0 and 1, which is silently wrong.
    """
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


def packed_mask(
    backbone: nn.Module,
    segments_BT: torch.Tensor,
    positions_BT: torch.Tensor,
    shared: int,
    dtype: torch.dtype,
    before: int = 0,
) -> Any:
    """The `attention_mask` of packed rows for a Hugging Face backbone: a tensor, or one for each type of layer.

    Args:
        shared: how many tokens at the start of the rows are prefix in every row.
        before: how many more tokens of the prefix come before the rows, as keys only.
    """
    config: Any = backbone.config
    splits = config._attn_implementation == SPLIT and not before
    if before:
        segments_BT = nn.functional.pad(segments_BT, (before, 0), value=PREFIX)
        earlier_BS = torch.arange(before, device=positions_BT.device).expand(len(positions_BT), -1)
        positions_BT = torch.cat([earlier_BS, positions_BT], dim=1)
    window = getattr(config, "sliding_window", None) if has_windows(backbone) else None
    if window is not None and window >= segments_BT.shape[1]:
        window = None  # no row is longer than the window
    # The queries of the common part get no mask, so they see all earlier tokens: wrong inside a window.
    full = additive(tree_mask(segments_BT, positions_BT, first=shared if splits else before), dtype)
    sliding = full if window is None else additive(tree_mask(segments_BT, positions_BT, window, before), dtype)
    if takes_mask_per_layer_type(backbone):
        return {"full_attention": full, "sliding_attention": sliding}
    return sliding


def has_windows_in_rows(config: Any) -> bool:
    """Whether some layers have a window in indices of the row, not in positions (the local layers of GPT-Neo).

    In a packed row, the options before an option would push the prefix out of its window.
    """
    return "local" in (getattr(config, "attention_layers", None) or ())


def has_windows(backbone: nn.Module) -> bool:
    """Whether the model's own masks have the window of its configuration.

    A config.json may keep a `sliding_window` that its class never reads (Llama). As below, only the source tells. Code
    outside of transformers has masks of its own, and is taken at its configuration's word.
    """
    forward = type(backbone).forward
    if not forward.__module__.startswith("transformers."):
        return True
    return takes_mask_per_layer_type(backbone) or "create_sliding_window_causal_mask" in _source(forward)


def takes_mask_per_layer_type(backbone: nn.Module) -> bool:
    """Whether the model's forward looks up masks by layer type (Gemma, Qwen: some layers use a sliding window).

    transformers' public interface does not say, so this reads its source. The check of both layouts on the first
    questions would notice a wrong answer.
    """
    return "causal_mask_mapping" in _source(type(backbone).forward)


@lru_cache
def _source(forward: Callable[..., Any]) -> str:
    # Reading the source takes milliseconds: do it once per class, not in each forward pass.
    return inspect.getsource(forward)


def split_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """sdpa; if the mask has S rows fewer than there are queries, the first S queries are causal and need no mask.

    Equal to sdpa with the full mask, since those S tokens belong to the prefix in every row.

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
    """Register `SPLIT` with transformers; a second call changes nothing."""
    AttentionInterface.register(SPLIT, split_attention)
    AttentionMaskInterface.register(SPLIT, sdpa_mask)  # for rows that are not packed


def keep_soft_cap(model: Any) -> str:
    """Switch soft-capped attention (Gemma2) to eager, for any layout; return a line for the user, or "".

    sdpa silently drops the cap. It does so in every layout, so comparing layouts does not show it.
    """
    config = model.config
    if getattr(config, "attn_logit_softcapping", None) is None or config._attn_implementation == "eager":
        return ""
    model.set_attn_implementation("eager")
    return "attention: eager, because sdpa would ignore this model's soft-capping"


@contextmanager
def finite_gradients(model: Any) -> Iterator[None]:
    """Disable cuDNN's kernel in this context, unless the model's attention is `SPLIT`.

    `SPLIT` chooses a kernel in each call, and still uses cuDNN's where no mask is needed.
    """
    before = torch.backends.cuda.cudnn_sdp_enabled()
    if model.config._attn_implementation != SPLIT:
        torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def choose_attention(model: Any) -> str:
    """Set the attention that packed rows need on a causal model; return a line for the user, or ""."""
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
    return f"attention: sdpa, because {before} cannot hide the other options from an option"
