"""Checks an adapter's tensors against the modules of the model that it is put on.

peft loads what has a place, leaves the rest of the adapter at its initial values, with which it does nothing, and says
so in a warning at most.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmtuner.errors import UserError
from llmtuner.mcq.model import HEAD
from llmtuner.runs.adapter import adapter_tensors, is_lora, listed, lora_modules, other_tensors, read_adapter_config
from llmtuner.runs.weights import StoredTensor


def check_fit(model: Any, adapter: str | os.PathLike[str]) -> None:
    """Refuse an adapter that would not be loaded whole: other names, missing layers, other shapes.

    The head over options is left to `llmtuner.mcq.checkpoint.check_head`.

    Args:
        model: as loaded, with its head attached, without adapters.
        adapter: a folder; a name on the hub is left to peft.

    Raises:
        UserError: with the names.
    """
    if not Path(adapter).is_dir():
        return
    config = read_adapter_config(adapter)
    if not is_lora(config) or config.get("target_parameters"):
        return
    tensors = adapter_tensors(adapter)
    modules = dict(model.named_modules())
    stored = lora_modules(tensors)
    wanted = _targets(adapter, modules)
    name = model.name_or_path
    unknown = sorted(stored.keys() - wanted)
    if unknown:
        raise UserError(
            f"{adapter} has LoRA weights for {listed(unknown)}, and {name} has no such module, or adapter_config.json "
            "does not name it; pass the model that the adapter was trained on, or copy the adapter again"
        )
    missing = sorted(wanted - stored.keys())
    if missing:
        raise UserError(
            f"{adapter} lacks the LoRA weights of {listed(missing)}, which {name} has; pass the model that the "
            "adapter was trained on, or copy the adapter again"
        )
    for module in sorted(stored):
        _check_shape(adapter, module, modules[module], tensors)
    _check_whole_modules(adapter, model, tensors, config)


def _targets(adapter: str | os.PathLike[str], modules: Mapping[str, Any]) -> set[str]:
    """The modules that peft puts LoRA on, by its own rule."""
    from peft import LoraConfig
    from peft.tuners.tuners_utils import check_target_module_exists

    config = LoraConfig.from_pretrained(str(adapter))
    return {name for name in modules if name and check_target_module_exists(config, name)}


def _check_shape(adapter: object, name: str, module: Any, tensors: Mapping[str, StoredTensor]) -> None:
    for part, axis, sizes in (
        ("lora_A.weight", 1, ("in_features", "nx")),
        ("lora_B.weight", 0, ("out_features", "nf")),
    ):
        tensor = tensors.get(f"{name}.{part}")
        width = next((getattr(module, size) for size in sizes if hasattr(module, size)), None)
        if tensor is None or width is None or len(tensor.shape) != 2 or tensor.shape[axis] == width:
            continue
        raise UserError(
            f"{adapter} does not fit: {name} is {tensor.shape[axis]} wide in it, and {width} in the model; pass the "
            "model that it was trained on"
        )


def _check_whole_modules(
    adapter: object, model: Any, tensors: Mapping[str, StoredTensor], config: Mapping[str, Any]
) -> None:
    """Check the modules that are saved whole beside the LoRA weights: embeddings, biases, norms."""
    places = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    whole = [name for name in other_tensors(tensors) if f"{HEAD}." not in name]
    unknown = sorted(name for name in whole if name not in places)
    if unknown:
        raise UserError(
            f"{adapter} has weights for {listed(unknown)}, and {model.name_or_path} has no such module; pass the model "
            "that the adapter was trained on, or copy the adapter again"
        )
    for name in whole:
        if tensors[name].shape != places[name]:
            raise UserError(f"{adapter} does not fit: {_other_size(name, tensors[name].shape, places[name])}")
    saved = {name.rpartition(".")[0] for name in whole}
    for target in config.get("modules_to_save") or ():
        lacking = [name for name in places if _is_in(name, target) and name.rpartition(".")[0] not in saved]
        if target != HEAD and lacking:
            raise UserError(f"{adapter} lacks the weights of {listed(lacking)}; copy the adapter again")


def _is_in(name: str, target: str) -> bool:
    """Whether a weight belongs to a module of this name."""
    return f".{target}." in f".{name}"


def _other_size(name: str, stored: tuple[int, ...], given: tuple[int, ...]) -> str:
    if len(stored) == len(given) == 2 and stored[1] == given[1]:
        return (
            f"{name} has {stored[0]} rows in it, and the model {given[0]}: tokens were added for its training; pass "
            "the same --resize_vocab, --add_tokens and --add_special_tokens"
        )
    return f"{name} has shape {stored} in it, and {given} in the model; pass the model that it was trained on"
