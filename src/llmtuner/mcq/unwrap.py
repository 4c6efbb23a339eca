"""The Hugging Face model inside a PEFT wrapper."""

from __future__ import annotations

from typing import Any


def unwrap(model: Any) -> Any:
    """The Hugging Face model inside a PEFT model; other models are returned as they are."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
