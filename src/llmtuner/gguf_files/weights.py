"""Loads the weights of a GGUF file through transformers, and refuses what transformers would drop or make up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

from llmtuner.errors import UserError
from llmtuner.gguf_files.reader import GgufFile
from llmtuner.mcq.bad_weights import refuse_bad_weights
from llmtuner.mcq.whole import load_whole

# What transformers' reader raises where a file's metadata or tensors are not what it expects.
_UNREADABLE = (ValueError, KeyError, IndexError, TypeError, AttributeError, NotImplementedError, RuntimeError)


def load_weights(file: GgufFile, dtype: str) -> Any:
    """The model of a file, with weights in the given precision.

    Args:
        file: its metadata and list of tensors.
        dtype: such as float32.

    Raises:
        UserError: transformers does not know the architecture or cannot read the file, weights are missing, left over
            or not finite.
    """
    if file.architecture not in GGUF_SUPPORTED_ARCHITECTURES:
        raise UserError(
            f"{file.path}: transformers {transformers.__version__} does not read the architecture {file.architecture}; "
            f"choose from: {', '.join(sorted(GGUF_SUPPORTED_ARCHITECTURES))}"
        )
    _check_positions(file)
    try:
        config = AutoConfig.from_pretrained(file.path.parent, gguf_file=file.path.name, local_files_only=True)
        model = load_whole(_load, str(file.path), scores_tokens=True, config=config, dtype=getattr(torch, dtype))
    except UserError:
        raise
    except _UNREADABLE as error:
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{file.path}: transformers {transformers.__version__} cannot read it ({first}); convert the original "
            "model again, or choose another file"
        ) from error
    model.name_or_path = str(file.path)  # for messages
    _check_all_read(file, model)
    refuse_bad_weights(model)
    return model


def _load(name: str, **more: Any) -> Any:
    path = Path(name)
    return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True, **more)


def _check_positions(file: GgufFile) -> None:
    """Refuse stretched positions (RoPE scaling).

    transformers reads none of these values and computes every attention from the unstretched positions: Gemma 3 from 4B
    on and DeepSeek Coder would be other models, with the right weights.
    """
    begin = f"{file.architecture}.rope."
    kind = file.get(f"{begin}scaling.type", str)
    factors = [file.get(f"{begin}{key}", float) for key in ("scaling.factor", "scale_linear")]
    if kind == "none" or (kind in (None, "linear") and all(factor in (None, 0.0, 1.0) for factor in factors)):
        return
    raise UserError(
        f"{file.path}: stretches its positions ({begin}scaling.type {kind or 'linear'}), and transformers "
        f"{transformers.__version__} does not read this from the file; convert the original model's safetensors instead"
    )


def _check_all_read(file: GgufFile, model: Any) -> None:
    """Refuse a file with weights that the model does not have.

    transformers skips tensors that it has no place for. Seen: the factors that stretch Llama 3.1's positions, without
    which long texts are read wrongly and nothing says so.
    """
    written = sum(tensor.size for tensor in file.tensors)
    read = sum(parameter.numel() for parameter in model.parameters())  # tied weights count once
    if written != read:
        names = [tensor.name for tensor in file.tensors if tensor.name.startswith("rope_")]
        hint = f" ({', '.join(names)}?)" if names else ""
        raise UserError(
            f"{file.path}: has {written:,} weights, and transformers' {type(model).__name__} has {read:,}: it does not "
            f"read this file as a whole{hint}; convert the original model's safetensors instead"
        )
