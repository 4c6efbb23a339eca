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
from llmtuner.runs.adapter import require_adapter_weights
from llmtuner.runs.weights import weight_files

BASE = ("model_type", "hidden_size", "num_hidden_layers", "vocab_size")


def head_tensors(folder: str | Path) -> dict[str, torch.Tensor]:
    """The head's weights in a folder's safetensors files, by their names within the head; {} if it has none.

    Files of an earlier run that were set aside do not count.

    Raises:
        UserError: a file is damaged.
    """
    tensors: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  (no mapping)
                    if f"{HEAD}." in name:
                        tensors[name.split(f"{HEAD}.", 1)[1]] = file.get_tensor(name)
        except SafetensorError as error:
            raise UserError(f"{path}: damaged: {error}") from error
    return tensors


def check_head(folder: str | Path, head: torch.nn.Module, *, grown: bool = False) -> dict[str, torch.Tensor]:
    """A folder's head, which must be complete and have the shapes of `head`.

    Args:
        grown: `head` has more weights than the folder's head, whose weights it keeps (STEP3 on STEP2's model).

    Raises:
        UserError: the head is missing or a different one; a fresh head in its place would silently score at chance.
    """
    stored, wanted = head_tensors(folder), head.state_dict()
    another_head = "mcq_config.json describes another head"
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
    """Refuse an adapter that has its weights only as a pickle, which peft would load: a pickle can run code.

    Names on the hub are left to peft.

    Raises:
        UserError: the folder has no weights as safetensors.
    """
    if Path(adapter).is_dir():
        require_adapter_weights(adapter)


def load_head(model: Any, folder: str | Path, *, grown: bool = False) -> None:
    """Load the weights in a folder into a model's attached head.

    Args:
        grown: as in `check_head`; parameters without stored weights stay as they are.

    Raises:
        UserError: as `check_head`.
    """
    head = getattr(model, HEAD)
    head.load_state_dict(check_head(folder, head, grown=grown), strict=not grown)


@contextmanager
def completed(adapters: Sequence[str], head: torch.nn.Module) -> Iterator[list[str]]:
    """The adapters as peft can load them: it needs every weight of a head, and a grown head has more than STEP2's.

    Yields:
        Their folders; an adapter whose head has grown is replaced by a temporary copy with the fresh weights added.

    Raises:
        UserError: an adapter's head is not in the same file as its weights.
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
    """Load adapters in this context: torch's errors about shapes become errors for the user.

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
    """The values of a Hugging Face configuration that tell one base model from another."""
    text = config.get_text_config()
    return {name: getattr(text, name) for name in BASE if hasattr(text, name)}


def check_base(settings: McqSettings, config: Any, source: str) -> None:
    """Refuse a head or adapter of another base model; peft silently puts an adapter of two layers on three.

    Args:
        source: the folder that the settings come from.

    Raises:
        UserError: with the values that differ.
    """
    given = describe_base(config)
    if settings.vocabulary and given.get("vocab_size", 0) > settings.base.get("vocab_size", 0):
        given["vocab_size"] = settings.base.get("vocab_size")  # a whole model, saved with the rows of added tokens
    for name, wanted in settings.base.items():
        if given.get(name) != wanted:
            raise UserError(
                f"{source} was trained on another base model: {name} {wanted}, and this one has {given.get(name)}; "
                "pass the model that it was trained on"
            )
