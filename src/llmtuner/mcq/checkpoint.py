"""The head's weights in the files of a model or an adapter, and the base model that they belong to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from llmtuner.errors import UserError
from llmtuner.mcq.model import HEAD
from llmtuner.mcq.settings import McqSettings

BASE = ("model_type", "hidden_size", "num_hidden_layers", "vocab_size")


def head_tensors(folder: str | Path) -> dict[str, torch.Tensor]:
    """The head's weights in a folder's safetensors files, by their names within the head; {} where it has none.

    Raises:
        UserError: a file is damaged.
    """
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  (no mapping)
                    if f"{HEAD}." in name:
                        tensors[name.split(f"{HEAD}.", 1)[1]] = file.get_tensor(name)
        except SafetensorError as error:
            raise UserError(f"{path}: damaged: {error}") from error
    return tensors


def check_head(folder: str | Path, head: torch.nn.Module, *, grown: bool = False) -> dict[str, torch.Tensor]:
    """A folder's head, which must be whole and have the shapes of `head`.

    Args:
        grown: `head` has more than the folder's, whose weights it takes over (`llmtuner.mcq.plan`).

    Raises:
        UserError: it is missing, or another one; a fresh head in its place would give chance scores in silence.
    """
    stored, wanted = head_tensors(folder), head.state_dict()
    another_head = "it was made by another head than mcq_config.json says"
    if not stored:
        raise UserError(f"{folder}: mcq_config.json declares a head, but the weights have none; copy the folder again")
    for name, tensor in wanted.items():
        if name not in stored:
            if grown and not name.startswith("mcq_score."):
                continue
            raise UserError(f"{folder}: the head has no {name}: {another_head}")
        if stored[name].shape != tensor.shape:
            raise UserError(
                f"{folder}: the head's {name} has shape {tuple(stored[name].shape)}, and this model needs "
                f"{tuple(tensor.shape)}: is it the head of another base model?"
            )
    surplus = sorted(stored.keys() - wanted.keys())
    if surplus:
        raise UserError(f"{folder}: the head has {surplus[0]}: {another_head}")
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


def load_head(model: Any, folder: str | Path, *, grown: bool = False) -> None:
    """Give a model's attached head the weights of a folder.

    Args:
        grown: as of `check_head`; what the folder has no weights for stays as it is.

    Raises:
        UserError: as `check_head`.
    """
    head = getattr(model, HEAD)
    head.load_state_dict(check_head(folder, head, grown=grown), strict=not grown)


@contextmanager
def completed(adapters: Sequence[str], head: torch.nn.Module) -> Iterator[list[str]]:
    """The adapters as peft can load them: it needs every weight of a head, and a grown one has more than STEP2's.

    Yields:
        Their folders; one whose head has grown since is a copy, for the time being, with the fresh weights beside.

    Raises:
        UserError: an adapter's head stands in another file than its weights.
    """
    with ExitStack() as stack:
        folders = []
        for adapter in adapters:
            stored = head_tensors(adapter) if Path(adapter).is_dir() else {}
            fresh = {name: tensor for name, tensor in head.state_dict().items() if stored and name not in stored}
            if not fresh:
                folders.append(adapter)
                continue
            copy = Path(stack.enter_context(TemporaryDirectory()))
            shutil.copy(Path(adapter) / "adapter_config.json", copy)
            weights = load_file(Path(adapter) / "adapter_model.safetensors")
            names = [name for name in weights if f"{HEAD}." in name]
            if not names:
                raise UserError(f"{adapter}: its head is not in adapter_model.safetensors; copy the folder again")
            prefix = names[0].split(f"{HEAD}.", 1)[0]
            weights |= {f"{prefix}{HEAD}.{name}": tensor.detach().cpu() for name, tensor in fresh.items()}
            save_file(weights, copy / "adapter_model.safetensors", metadata={"format": "pt"})
            folders.append(str(copy))
        yield folders


@contextmanager
def fitting(adapters: Sequence[str], model: str) -> Iterator[None]:
    """Adapters are loaded in this context: torch's words about other shapes become the user's error.

    Raises:
        UserError: an adapter does not fit the model.
    """
    try:
        yield
    except RuntimeError as error:
        if "size mismatch" not in str(error):
            raise
        first = next(line.strip() for line in str(error).splitlines() if "size mismatch" in line)
        raise UserError(
            f"{', '.join(adapters)} does not fit {model}: {first}; pass the model that it was trained on"
        ) from error


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
    given = describe_base(config)
    for name, wanted in settings.base.items():
        if given.get(name) != wanted:
            raise UserError(
                f"{source} was trained on another base model: {name} {wanted}, and this one has {given.get(name)}; "
                "pass the model that it was trained on"
            )
