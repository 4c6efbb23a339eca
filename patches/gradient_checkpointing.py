"""Gradient checkpointing is off on a CPU where the memory is known to suffice, unless the user gives the flag.

Upstream: `get_dataset` in `llamafactory.train.sft.workflow` (0.9.0 to 0.9.5), the last call before the model is loaded;
`load_model` reads `model_args.disable_gradient_checkpointing`. Stage mcq calls `settle` itself.
Can go when upstream decides by memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from llmtuner.data.registry import find_source
from llmtuner.mcq.memory import suffices
from patches.sft_data import SEAM, DataCall, Load
from patches.template_tokens import extent

NOTICE = (
    "gradient checkpointing: off, since the memory suffices without it, which is faster "
    "(--disable_gradient_checkpointing false turns it on)"
)
_left_open: ContextVar[bool] = ContextVar("left_open", default=False)
logger = logging.getLogger("llmtuner")


def apply() -> None:
    """Decide after the data is tokenised and before the model is loaded."""
    SEAM.around(_decide)


@contextmanager
def left_open(is_open: bool) -> Iterator[None]:
    """Whether a run's flags leave the decision to this patch."""
    token = _left_open.set(is_open)
    try:
        yield
    finally:
        _left_open.reset(token)


def leave_off(model_args: Any) -> None:
    """Encoders are small: without the flag they compute without it."""
    if _left_open.get():
        model_args.disable_gradient_checkpointing = True


def settle(model_args: Any, config: Any, tokens: int, longest: int, *, logits: bool, speaks: bool) -> None:
    """Switch gradient checkpointing off if the flags leave that open, there is no accelerator, and the memory suffices.

    Args:
        tokens: of the largest batch, padding included.
        longest: tokens of the longest row.
        logits: whether the logits of all tokens are computed.
        speaks: whether this process tells the user.
    """
    import torch

    if not _left_open.get() or torch.accelerator.is_available():
        return
    if suffices(config, tokens, longest, logits=logits):
        model_args.disable_gradient_checkpointing = True
        if speaks:
            logger.info(NOTICE)


def _decide(call: DataCall, load: Load) -> Any:
    module = load()
    rows = module.get("train_dataset")
    names = call.data_args.dataset or []
    ours = bool(names) and all(find_source(name, call.data_args.dataset_dir) is not None for name in names)
    if _left_open.get() and ours and hasattr(rows, "num_rows"):
        from llamafactory.model.loader import load_config

        longest = extent(rows).longest
        tokens = longest * call.training_args.per_device_train_batch_size
        config = load_config(call.model_args)
        settle(call.model_args, config, tokens, longest, logits=True, speaks=call.training_args.should_log)
    return module
