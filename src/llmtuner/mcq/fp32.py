"""Half-precision models in fp32: those that are trained, and any for a time, with the weights that they have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import nn

from llmtuner.mcq.model import HEAD

_HALF = (torch.bfloat16, torch.float16)
_Stored = list[tuple[torch.Tensor, torch.Tensor]]  # a parameter or buffer, and its data in half precision


def half_precision_of(module: nn.Module) -> torch.dtype | None:
    """The half precision of a module's weights; of a quantised module, that of the weights left unquantised."""
    return next((tensor.dtype for tensor, _ in _halves(module)), None)


def widen_trained(model: nn.Module) -> None:
    """Widen a model in place if weights of its own are trained: most steps are too small to change one in bf16.

    Frozen weights are widened with them, since a layer in half precision cannot read states in fp32. Adapters and the
    head are in fp32 already, so a frozen model below them stays as it is.
    """
    if any(
        parameter.requires_grad and HEAD not in name and "lora_" not in name
        for name, parameter in model.named_parameters()
    ):
        _widen(_halves(model))


@contextmanager
def in_fp32(backbone: nn.Module) -> Iterator[None]:
    """Widen the weights of each layer while it computes, so that it takes the extra memory of one layer only.

    Layers are the items of the outermost module lists; weights outside of them are widened for the whole time. Whole
    layers are widened, not single linear maps, because adapters cast their input to the precision of their weights.
    Quantised weights stay as they are, and so does the precision in which they are multiplied.
    """
    layers = list(_layers(backbone))
    of_layer = {id(layer): _halves(layer) for layer in layers}
    stored = _halves(backbone)
    inner = {id(tensor) for halves in of_layer.values() for tensor, _ in halves}

    def enter(layer: nn.Module, *_: Any) -> None:
        _widen(of_layer[id(layer)])

    def leave(layer: nn.Module, *_: Any) -> None:
        _restore(of_layer[id(layer)])

    handles = [layer.register_forward_pre_hook(enter) for layer in layers]
    handles += [layer.register_forward_hook(leave, always_call=True) for layer in layers]
    try:
        _widen([(tensor, half) for tensor, half in stored if id(tensor) not in inner])
        yield
    finally:
        for handle in handles:
            handle.remove()
        _restore(stored)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        yield from child if isinstance(child, nn.ModuleList) else _layers(child)


def _halves(module: nn.Module) -> _Stored:
    tensors = chain(module.parameters(), module.buffers())
    return [(tensor, tensor.data) for tensor in tensors if tensor.dtype in _HALF]


def _widen(stored: _Stored) -> None:
    for tensor, half in stored:
        tensor.data = half.float()


def _restore(stored: _Stored) -> None:
    for tensor, half in stored:
        tensor.data = half
