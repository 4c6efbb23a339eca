"""Loads a model and refuses one that is not whole: weights that its files lack would start at random values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llmtuner.errors import UserError
from llmtuner.mcq.model import POOLER
from llmtuner.runs.adapter import listed


def load_whole(load: Callable[..., Any], name: str, *, scores_tokens: bool, **more: Any) -> Any:
    """Load a model with `from_pretrained`.

    transformers draws weights that the files lack at random, and goes on with a line in the log. Tied weights and
    buffers that are computed are no lack, nor are weights on which no score depends: the pooler of an encoder, and a
    language-model head below a head over options.

    Args:
        load: the `from_pretrained` of a class of models.
        scores_tokens: whether the language-model head is used.
        more: arguments of `load`.

    Raises:
        UserError: weights are missing or have other shapes than the model's configuration says, with their names.
    """
    try:
        model, info = load(name, output_loading_info=True, **more)
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error) and "size mismatch" not in str(error):
            raise
        raise UserError(
            f"{name}: its weights have other shapes than its config.json says; copy or download the model again"
        ) from error
    _make_valid(getattr(model, "generation_config", None))
    missing = _needed(model, info, scores_tokens)
    if missing:
        raise UserError(
            f"{name}: its files lack {len(missing)} weights, which would be random: {listed(missing)}; copy or "
            "download the model again"
        )
    return model


def _make_valid(generation: Any) -> None:
    """Sample, if a model's generation_config.json has values for sampling and does not say so, as Llama-2's of 2023.

    transformers reads such a file, and refuses to save the model with it. Upstream does the same where it trains.
    """
    if generation is None or generation.do_sample:
        return
    try:
        generation.validate(strict=True)
    except ValueError:
        generation.do_sample = True


def _needed(model: Any, info: Mapping[str, Any], scores_tokens: bool) -> list[str]:
    """The missing weights on which a score depends, sorted."""
    head = None if scores_tokens or not model.can_generate() else model.get_output_embeddings()
    unused = {POOLER, *(name for name, module in model.named_modules() if head is not None and module is head)}
    buffers = {name for name, _ in model.named_buffers()}  # computed or constant, never random
    missing = sorted(name for name in info["missing_keys"] if name not in buffers)
    return [name for name in missing if not any(f".{part}." in f".{name}" for part in unused)]
