"""Whether a training step fits into the memory of a CPU without gradient checkpointing, which costs speed."""

from __future__ import annotations

from typing import Any

SHARE = 0.5  # of the memory that is available before the model is loaded
_COPIES_OF_WEIGHTS = 4  # full training: weights, gradients and Adam's two moments
# Numbers of fp32 kept for backward for each token and layer, in multiples of a width. Measured with LoRA on all linear
# layers and dropout (SmolLM2-135M, 256 to 1,024 tokens): 0.77 to 0.85 of this in fp32, 0.69 in bf16.
_HIDDEN, _INNER = 48, 8


def step_bytes(config: Any, tokens: int, longest: int, *, logits: bool) -> int:
    """An upper bound of the memory of a training step, in bytes: weights and what is kept for the backward pass.

    Args:
        config: transformers' configuration of a language model or an encoder.
        tokens: of a batch, padding included.
        longest: tokens of its longest row, for attention that keeps its weights.
        logits: whether the language-model head computes the logits of all tokens (stage sft).
    """
    return 4 * _COPIES_OF_WEIGHTS * parameters(config) + activation_bytes(config, tokens, longest, logits=logits)


def parameters(config: Any) -> int:
    """About how many weights a language model or an encoder of this configuration has, seldom fewer."""
    text = config.get_text_config()
    width, layers = text.hidden_size, text.num_hidden_layers
    return text.vocab_size * width * 2 + layers * (4 * width * width + 3 * width * _inner(text))


def activation_bytes(
    config: Any, tokens: int, longest: int, *, logits: bool, checkpointing: bool = False, backward: bool = True
) -> int:
    """An upper bound of what a batch needs beside weights, gradients and optimizer, in bytes.

    Args:
        tokens, longest, logits: as in `step_bytes`.
        checkpointing: whether only the layers' inputs are kept, and one layer at a time is computed again.
        backward: whether anything is kept for the backward pass.
    """
    text = config.get_text_config()
    width, layers, heads = text.hidden_size, text.num_hidden_layers, getattr(text, "num_attention_heads", 1)
    of_layer = _HIDDEN * width + _INNER * _inner(text) + 2 * heads * longest
    values = layers * of_layer if backward else of_layer
    if checkpointing and backward:
        values = layers * width + of_layer
    return 4 * tokens * (values + (4 * text.vocab_size if logits else 0))


def available_bytes() -> int:
    """Free memory of the device that a run would use."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)


def _inner(text: Any) -> int:
    return getattr(text, "intermediate_size", None) or 4 * text.hidden_size


def suffices(config: Any, tokens: int, longest: int, *, logits: bool) -> bool:
    """Whether such a step needs at most `SHARE` of the memory that is available now.

    A configuration that does not state its widths, as some of remote code, is not known to suffice.
    """
    import psutil

    try:
        needed = step_bytes(config, tokens, longest, logits=logits)
    except AttributeError:
        return False
    return needed <= SHARE * psutil.virtual_memory().available
