"""The files of a LoRA adapter, checked against each other without torch: configuration, names and shapes of tensors."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmtuner.errors import UserError
from llmtuner.runs.manifest import manifest_of
from llmtuner.runs.weights import StoredTensor, stored_tensors

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_PICKLE = "adapter_model.bin"
PREFIX = "base_model.model."  # what peft puts before every name
CONVERTED = "pissa_converted"  # where upstream saves an adapter with --pissa_convert
LISTED = 4  # names in a message
_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<part>A|B|embedding_A|embedding_B|magnitude_vector)(\.\w+)?")
_WRAPPER = re.compile(r"\.(modules_to_save|original_module)\.")
_COPY = "copy the folder again"


def is_adapter(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds an adapter."""
    return (Path(folder) / ADAPTER_CONFIG).is_file()


def read_adapter_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a folder's adapter_config.json.

    Raises:
        UserError: it is missing or damaged.
    """
    path = Path(folder) / ADAPTER_CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged: not JSON: {error}; {_COPY}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path}: damaged: expected an object, found {type(config).__name__}; {_COPY}")
    return config


def require_adapter_weights(folder: str | os.PathLike[str]) -> Path:
    """The file with an adapter's weights.

    peft would load a pickle if the file were missing, and a pickle can run code; another safetensors file in the
    folder does not help.

    Raises:
        UserError: the folder has no such file.
    """
    path = Path(folder) / ADAPTER_WEIGHTS
    if path.is_file():
        return path
    if (path.parent / ADAPTER_PICKLE).is_file():
        raise UserError(
            f"{folder}: its only weights are a pickle ({ADAPTER_PICKLE}), which is never loaded; convert it once "
            f"with: python scripts/to_safetensors.py {folder}"
        )
    raise UserError(f"{folder}: no weights in it ({ADAPTER_WEIGHTS}); {_COPY}")


def adapter_tensors(folder: str | os.PathLike[str]) -> dict[str, StoredTensor]:
    """An adapter's tensors by name, without peft's prefix.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = require_adapter_weights(folder)
    return {tensor.name.removeprefix(PREFIX): tensor for tensor in stored_tensors(path)}


def lora_modules(names: Mapping[str, Any]) -> dict[str, set[str]]:
    """The modules that LoRA tensors belong to, each with the parts that are there ("A", "B", ...)."""
    modules: dict[str, set[str]] = {}
    for name in names:
        match = _LORA.fullmatch(name)
        if match:
            modules.setdefault(match["module"], set()).add(match["part"])
    return modules


def other_tensors(names: Mapping[str, Any]) -> list[str]:
    """The tensors that belong to no LoRA module: those of modules that are saved whole.

    peft saves embeddings that have grown a second and third time, under the names of its own wrapper, and never reads
    those.
    """
    return [name for name in names if not _LORA.fullmatch(name) and not _WRAPPER.search(name)]


def is_lora(config: Mapping[str, Any]) -> bool:
    """Whether an adapter is one of LoRA; other kinds have other tensors."""
    return config.get("peft_type") == "LORA"


def check_adapter_files(folder: str | os.PathLike[str]) -> None:
    """Refuse an adapter whose tensors are not those that its adapter_config.json describes.

    peft loads what fits and leaves the rest at its initial values, with which the adapter does nothing.

    Raises:
        UserError: tensors are missing, or have another rank; with their names.
    """
    config = read_adapter_config(folder)
    if not is_lora(config) or config.get("target_parameters"):
        require_adapter_weights(folder)
        return
    path, tensors = Path(folder) / ADAPTER_WEIGHTS, adapter_tensors(folder)
    modules = lora_modules(tensors)
    if not modules:
        first = listed(sorted(tensors)) or "nothing"
        raise UserError(f"{path}: no LoRA weights in it, but {first}; {_COPY}")
    halves = [
        f"{name} (only {', '.join(sorted(parts))})" for name, parts in sorted(modules.items()) if not _whole(parts)
    ]
    if halves:
        raise UserError(f"{path}: half of the LoRA weights is missing for {listed(halves)}; {_COPY}")
    wrong = [problem for name in sorted(modules) if (problem := _wrong_rank(name, tensors, config))]
    if wrong:
        raise UserError(
            f"{path}: {listed(wrong)}: the weights do not belong to the {ADAPTER_CONFIG} beside them; {_COPY}"
        )


def starts_at_random(init_lora_weights: object) -> bool:
    """Whether peft begins a LoRA with this start by changing the base model at random."""
    return isinstance(init_lora_weights, str) and init_lora_weights.startswith("pissa_niter")


def check_random_start(folder: str | os.PathLike[str], seed: int | None = None) -> None:
    """Refuse an adapter whose base model was changed at random, in a way that nothing stores.

    PiSSA moves a part of the base model's weights into the adapter, and peft repeats this when it loads the adapter.
    With `--pissa_iter` above 0 the decomposition begins with random numbers: drawn from another seed, another part is
    taken away, and the scores are others.

    Args:
        seed: from which the random numbers are drawn; None if they are not those of a training.

    Raises:
        UserError: the adapter has such a start, and the seed is not that of its training.
    """
    if not starts_at_random(read_adapter_config(folder).get("init_lora_weights")):
        return
    manifest = manifest_of(folder)
    stored = None if manifest is None else manifest.settings.get("seed")
    if seed is not None and stored in (None, seed):
        return
    converted = Path(folder) / CONVERTED
    instead = f"use {converted}" if is_adapter(converted) else "train it again with --pissa_convert true"
    needs = "" if seed is None or stored is None else f" (pass --seed {stored})"
    raise UserError(
        f"{folder}: PiSSA changed its base model at random, which only a run with the seed of its training "
        f"repeats{needs}; {instead}, or --pissa_iter -1, which is exact"
    )


def _whole(parts: set[str]) -> bool:
    return {"A", "B"} <= parts or {"embedding_A", "embedding_B"} <= parts


def _wrong_rank(module: str, tensors: Mapping[str, StoredTensor], config: Mapping[str, Any]) -> str:
    """How a module's rank differs from the configuration's; "" if it does not."""
    wanted = _rank(module, config)
    for name, axis in (("lora_A.weight", 0), ("lora_B.weight", 1), ("lora_embedding_A", 0), ("lora_embedding_B", 1)):
        tensor = tensors.get(f"{module}.{name}")
        if tensor is None or wanted is None:
            continue
        if len(tensor.shape) <= axis or tensor.shape[axis] != wanted:
            rank = tensor.shape[axis] if len(tensor.shape) > axis else "none"
            return f"{module} has rank {rank}, and {ADAPTER_CONFIG} says {wanted}"
    return ""


def _rank(module: str, config: Mapping[str, Any]) -> int | None:
    """The rank of a module: the configuration's, or that of the first pattern that matches, as peft decides."""
    for pattern, rank in (config.get("rank_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return int(rank)
    rank = config.get("r")
    return rank if type(rank) is int else None


def listed(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
