"""Where a model's weights are, and batches beside them."""

from __future__ import annotations

import torch

from llmtuner.mcq.collate import Batch


def device_of(model: torch.nn.Module) -> torch.device:
    """Where the model's weights are."""
    return next(model.parameters()).device


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch's tensors to a device; numbers are unchanged."""
    return {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}
