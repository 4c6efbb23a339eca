"""The head's weights in the files of a model or an adapter, and the base model that they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from llmtuner.errors import UserError
from llmtuner.mcq.model import HEAD
from llmtuner.mcq.settings import McqSettings

BASE = ("model_type", "hidden_size", "num_hidden_layers", "vocab_size")


def head_tensors(folder: str | Path) -> dict[str, torch.Tensor]:
    """The head's weights in a folder's safetensors files, by their names within the head; {} where it has none.

    Raises:
        UserError: a file is damaged.
    """
    found: dict[str, torch.Tensor] = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  (no mapping)
                    if f"{HEAD}." in name:
                        found[name.split(f"{HEAD}.", 1)[1]] = file.get_tensor(name)
        except SafetensorError as error:
            raise UserError(f"{path}: damaged: {error}") from error
    return found


def check_head(folder: str | Path, head: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A folder's head, which must be whole and have the shapes of `head`.

    Raises:
        UserError: it is missing, or another one; a fresh head in its place would give chance scores in silence.
    """
    stored, wanted = head_tensors(folder), head.state_dict()
    if not stored:
        raise UserError(f"{folder}: its weights have no head, although mcq_config.json says so; copy the folder again")
    for name, tensor in wanted.items():
        if name not in stored:
            raise UserError(f"{folder}: the head has no {name}: it was made by another head than mcq_config.json says")
        if stored[name].shape != tensor.shape:
            raise UserError(
                f"{folder}: the head's {name} has shape {tuple(stored[name].shape)}, and this model needs "
                f"{tuple(tensor.shape)}: is it the head of another base model?"
            )
    return stored


def require_safetensors(adapter: str | Path) -> None:
    """Refuse an adapter's folder with weights as pickle only, which peft would read: a pickle can run code.

    Raises:
        UserError: it has no safetensors file.
    """
    if Path(adapter).is_dir() and not any(Path(adapter).glob("*.safetensors")):
        raise UserError(
            f"{adapter}: no weights as safetensors; convert them once with: python scripts/to_safetensors.py {adapter}"
        )


def load_head(model: Any, folder: str | Path) -> None:
    """Give a model's attached head the weights of a folder.

    Raises:
        UserError: as `check_head`.
    """
    head = getattr(model, HEAD)
    head.load_state_dict(check_head(folder, head))


def describe_base(config: Any) -> dict[str, Any]:
    """What tells one base model from another, of a Hugging Face configuration."""
    text = config.get_text_config()
    return {name: getattr(text, name) for name in BASE if hasattr(text, name)}


def check_base(settings: McqSettings, config: Any, source: str) -> None:
    """Refuse a head or adapter of another base model; peft puts two layers of adapters on three without a word.

    Args:
        source: the folder that the settings are from.

    Raises:
        UserError: with what differs.
    """
    found = describe_base(config)
    for name, wanted in settings.base.items():
        if found.get(name) != wanted:
            raise UserError(
                f"{source} was trained on another base model: {name} {wanted}, and this one has {found.get(name)}; "
                "pass the model that it was trained on"
            )
