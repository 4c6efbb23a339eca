"""Packed rows that are wrong on purpose (masks, positions, windows), to test the check and for its benchmark."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from models import question

from llmtuner.data.tokens.option import OptionTokens
from llmtuner.mcq import attention, compare
from llmtuner.mcq import model as model_module
from llmtuner.mcq.attention import SPLIT
from llmtuner.mcq.layouts.base import PREFIX
from llmtuner.mcq.unwrap import unwrap

_tree_mask, _packed_mask, _hidden_states = attention.tree_mask, attention.packed_mask, model_module.hidden_states
Mask = Callable[..., torch.Tensor]
_draw = random.Random(0)
# Prefixes of two lengths, and first options shorter than the difference in length.
QUESTIONS = [question(_draw, 20, [3, 9, 4]), question(_draw, 10, [2, 6])]


def _options_see_each_other(segments_BT, positions_BT, window=None, first=0):
    return _tree_mask(segments_BT.clamp(max=0), positions_BT, window, first)


def _plain_causal(segments_BT, positions_BT, window=None, first=0):
    """A causal mask over the whole row, as a model without our mask would apply it."""
    places_1T = torch.arange(segments_BT.shape[1])[None].expand_as(segments_BT)
    return _tree_mask(torch.full_like(segments_BT, PREFIX), places_1T, window, first)


def _hide(wrong: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Mask:
    """The correct mask minus the pairs that `wrong` returns, [B, T, T]."""

    def mask(segments_BT, positions_BT, window=None, first=0):
        return _tree_mask(segments_BT, positions_BT, window, first) & ~wrong(segments_BT, positions_BT)[:, None, first:]

    return mask


def _of_prefix(segments_BT, _):
    return (segments_BT[:, :, None] >= 0) & (segments_BT[:, None] == PREFIX)


def _last_of_prefix(segments_BT, _):
    last_B = (segments_BT == PREFIX).sum(1) - 1
    is_last_BT = torch.arange(segments_BT.shape[1])[None] == last_B[:, None]
    return (segments_BT[:, :, None] >= 0) & is_last_BT[:, None]


def _own(segments_BT):
    return (segments_BT[:, :, None] == segments_BT[:, None]) & (segments_BT[:, :, None] >= 0)


def _itself(segments_BT, positions_BT):
    return _own(segments_BT) & (positions_BT[:, :, None] == positions_BT[:, None])


def _one_ahead(segments_BT, positions_BT, window=None, first=0):
    ahead_BTT = _own(segments_BT) & (positions_BT[:, :, None] + 1 == positions_BT[:, None])
    return _tree_mask(segments_BT, positions_BT, window, first) | ahead_BTT[:, None, first:]


def _resized(change: int | None) -> Mask:
    def mask(segments_BT, positions_BT, window=None, first=0):
        if window is not None:
            window = None if change is None else window + change
        return _tree_mask(segments_BT, positions_BT, window, first)

    return mask


def _by_places(segments_BT, positions_BT, window=None, first=0):
    seen = _tree_mask(segments_BT, positions_BT, None, first)
    places_T = torch.arange(segments_BT.shape[1])
    return seen if window is None else seen & (places_T[first:, None] - places_T < window)


def _run_on(inputs: dict[str, Any]) -> None:
    positions_BT = inputs["position_ids"]
    inputs["position_ids"] = torch.arange(positions_BT.shape[1]).expand_as(positions_BT)


def _one_late(inputs: dict[str, Any]) -> None:
    inputs["position_ids"] = inputs["position_ids"] + (inputs["segments"] >= 0)


def _from_zero(inputs: dict[str, Any]) -> None:
    prefix_B1 = (inputs["segments"] == PREFIX).sum(1, keepdim=True)
    inputs["position_ids"] = inputs["position_ids"] - prefix_B1 * (inputs["segments"] >= 0)


def _longest_prefix(inputs: dict[str, Any]) -> None:
    inputs["shared"] = int((inputs["segments"] == PREFIX).sum(1).max())


MASKS: dict[str, Mask] = {
    "options see each other": _options_see_each_other,
    "plain causal": _plain_causal,
    "no prefix": _hide(_of_prefix),
    "last token of the prefix missing": _hide(_last_of_prefix),
    "tokens do not see themselves": _hide(_itself),
    "one token ahead": _one_ahead,
}
WINDOWS: dict[str, Mask] = {
    "no window": _resized(None),
    "window one wider": _resized(1),
    "window one narrower": _resized(-1),
    "window by places": _by_places,
}
INPUTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "positions run on": _run_on,
    "positions one late": _one_late,
    "positions from 0": _from_zero,
    "common part of the longest prefix": _longest_prefix,
}
OTHERS = ("mask as booleans", "no mask", "one mask for all layers")
BREAKS = (*MASKS, *WINDOWS, *INPUTS, *OTHERS)


@contextmanager
def broken(name: str) -> Iterator[None]:
    """Break packed rows in one way."""
    masks = MASKS | WINDOWS
    if name in masks:
        patched = patch.object(attention, "tree_mask", masks[name])
    elif name in INPUTS:
        patched = patch.object(compare, "hidden_states", _with(INPUTS[name]))
    elif name == "mask as booleans":
        patched = patch.object(attention, "additive", lambda mask, _: mask)
    elif name == "no mask":
        patched = patch.object(model_module, "packed_mask", lambda *_: None)
    else:
        patched = patch.object(attention, "takes_mask_per_layer_type", lambda _: False)
    with patched:
        yield


def _with(change: Callable[[dict[str, Any]], None]) -> Callable[..., torch.Tensor]:
    """`hidden_states` with changed inputs, but with the mask of the correct positions."""

    def hidden_states(model, **inputs):
        if "segments" not in inputs:
            return _hidden_states(model, **inputs)
        right_BT = inputs["position_ids"]
        change(inputs)

        def mask(backbone, segments_BT, _, shared, dtype, *_before):
            return _packed_mask(backbone, segments_BT, right_BT, shared, dtype)

        with patch.object(model_module, "packed_mask", mask):
            return _hidden_states(model, **inputs)

    return hidden_states


def changes_nothing(name: str, model: Any, questions: list[OptionTokens] = QUESTIONS) -> str:
    """Why a break changes nothing for this model and these questions; "" if it does."""
    config = unwrap(model).config
    window = getattr(config, "sliding_window", None) or 1000
    slides = window < min(map(len, questions[0].sequences))
    kinds = set(getattr(config, "layer_types", None) or ["sliding_attention" if slides else "full_attention"])
    if name in WINDOWS and not slides:
        return "no window, or one wider than the row"
    if name == "one mask for all layers" and not (slides and len(kinds) == 2):
        return "all layers see alike"
    if name == "mask as booleans" and config._attn_implementation != "eager":
        return "sdpa takes booleans for what they are"
    if name == "common part of the longest prefix" and (
        config._attn_implementation != SPLIT or kinds == {"sliding_attention"}
    ):
        return "one mask for the whole row"
    if name == "common part of the longest prefix" and not any(
        _runs_into_second(tokens, questions) for tokens in questions
    ):
        return "no first option is shorter than the prefixes differ"
    return ""


def _runs_into_second(tokens: OptionTokens, questions: list[OptionTokens]) -> bool:
    """Whether the longest prefix reaches into the second option, whose tokens would then see the first."""
    return max(each.prefix_length for each in questions) > len(tokens.sequences[0])
