"""Where a model's weights are, and as which numbers, and batches beside them."""

from __future__ import annotations

import torch

from llmtuner.errors import UserError
from llmtuner.mcq.collate import Batch


def device_of(model: torch.nn.Module) -> torch.device:
    """Where the model's weights are."""
    return next(model.parameters()).device


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch's tensors to a device; numbers are unchanged."""
    return {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}


def check_device(device: str | torch.device, name: str = "device") -> None:
    """Refuse a device that torch cannot use, before a model is loaded.

    Args:
        name: what the user calls it.

    Raises:
        UserError: torch has none of that name.
    """
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch has no error of its own for this
        reason = str(error).partition("\n")[0]
        raise UserError(f"{name} {device}: torch cannot use it ({reason}); use cpu, or cuda with a GPU") from error


def check_dtype(dtype: str | torch.dtype) -> None:
    """Refuse what names no type of weights.

    Raises:
        UserError: it is neither "auto" nor a floating-point type of torch.
    """
    known = dtype if isinstance(dtype, torch.dtype) else getattr(torch, dtype, None)
    if dtype != "auto" and not (isinstance(known, torch.dtype) and known.is_floating_point):
        raise UserError(f'dtype {dtype}: expected "auto", or a floating-point type of torch such as "bfloat16"')
