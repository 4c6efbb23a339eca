"""Where a model's weights are, and as which numbers; batches beside them; how many devices a training uses."""

from __future__ import annotations

import copy
import logging
from typing import Any

import torch

from llmtuner.errors import UserError
from llmtuner.mcq.collate import Batch

logger = logging.getLogger("llmtuner.mcq")


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


def on_one_device(args: Any) -> Any:
    """A copy of transformers' training arguments that uses one GPU a process; a warning if the process sees more.

    Otherwise the Trainer cuts each tensor of a batch into one part a GPU (`nn.DataParallel`), and the indices of rows
    in a batch of questions count all of its rows.
    """
    args = copy.copy(args)
    if args.n_gpu > 1:
        line = "one of %d visible GPUs is used; the command line uses all of them, since it starts torchrun"
        logger.warning(line, args.n_gpu)
        args._n_gpu = 1
    return args
