"""Whether a model's or an adapter's folder can be loaded, before anything is: its small files, its kind, its weights.

Light: no torch and no transformers, except to ask about a type of model that transformers has no folder for.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llmtuner.errors import UserError
from llmtuner.runs.weights import INDEX, stored_tensors, weight_files

CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
MODEL_WEIGHTS, ADAPTER_WEIGHTS = "model.safetensors", "adapter_model.safetensors"
_LAYER_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")
# Files that transformers reads beside the weights. A damaged one ends in a traceback, or is passed over in silence.
_SMALL_FILES = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
)


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UserError: the file cannot be read, is not JSON, or holds something else; the message has the line.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise UserError(f"{path}: damaged: nested too deeply; copy the file again") from error
    except ValueError as error:
        raise UserError(f"{_place(path, error)}: damaged: {_reason(path, error)}; copy the file again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: damaged: expected an object, found {type(content).__name__}; copy the file again")
    return content


def _place(path: Path, error: ValueError) -> str:
    return f"{path}:{error.lineno}" if isinstance(error, json.JSONDecodeError) else str(path)


def _reason(path: Path, error: ValueError) -> str:
    start = path.read_bytes()[:8]
    if not start:
        return "it is empty"
    if start.startswith(b"version "):
        return "it is a Git LFS pointer, not the file (git lfs pull fetches it)"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return f"not JSON: {getattr(error, 'msg', error)}"


def check_model_folder(folder: str | os.PathLike[str], *, trust_remote_code: bool = False) -> dict[str, Any]:
    """Check the files of a model's folder, and return its configuration.

    Raises:
        UserError: a file is damaged, cut or missing, or transformers does not know the type of model.
    """
    folder = Path(folder)
    config = read_object(folder / CONFIG)
    _check_type(folder, config, trust_remote_code)
    _check_small_files(folder)
    named = config.get("transformers_weights")
    is_safe = isinstance(named, str) and named.endswith(".safetensors") and Path(named).name == named
    check_weight_files(folder, named if is_safe and named else MODEL_WEIGHTS)
    return config


def module_names(folder: str | os.PathLike[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The last parts of the names of all modules with weights, and those that LoRA usually goes into (matrices).

    Raises:
        UserError: a weight file is damaged.
    """
    every: set[str] = set()
    matrices: set[str] = set()
    for path in weight_files(folder):
        for tensor in stored_tensors(path):
            *modules, last = tensor.name.split(".")
            every.update(modules)
            embeds = modules and ("emb" in modules[-1] or modules[-1] in ("wte", "wpe", "lm_head"))
            if modules and last == "weight" and len(tensor.shape) == 2 and not embeds:
                matrices.add(modules[-1])
    return frozenset(every), tuple(sorted(matrices))


def unused_layers(folder: str | os.PathLike[str], config: Mapping[str, Any]) -> str:
    """A line about layers that the weights have and the configuration leaves out; "" for none.

    transformers passes over such weights in silence: half of a model is loaded, and scores. Models with several parts
    (vision, text) number the layers of each, and are left alone.

    Raises:
        UserError: a weight file is damaged.
    """
    counts = [config[name] for name in _LAYER_COUNTS if isinstance(config.get(name), int)]
    if not counts or "text_config" in config or "vision_config" in config:
        return ""
    extra = config.get("num_nextn_predict_layers")  # further layers that predict the token after the next one
    known = counts[0] + (extra if isinstance(extra, int) else 0)
    names = (tensor.name for path in weight_files(folder) for tensor in stored_tensors(path))
    stored = max((int(match[1]) + 1 for match in map(_LAYER.search, names) if match), default=0)
    if stored <= known:
        return ""
    return f"{Path(folder) / CONFIG} says {counts[0]} layers, and the weights have {stored}: the others are not used"


def check_adapter_folder(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Check the files of an adapter's folder, and return its configuration.

    Raises:
        UserError: a file is damaged, cut or missing.
    """
    folder = Path(folder)
    path = folder / ADAPTER_CONFIG
    config = read_object(path)
    for name, kind in (("peft_type", str), ("base_model_name_or_path", str | None)):
        if name not in config or not isinstance(config[name], kind):
            raise UserError(f"{path}: damaged: it has no {name}; copy the file again")
    _check_small_files(folder)
    check_weight_files(folder, ADAPTER_WEIGHTS)
    return config


def check_weight_files(folder: Path, whole: str) -> None:
    """Check the weight files that will be loaded: their headers, and for a split model that no file is missing.

    Args:
        whole: the name of the file if the weights are not split.

    Raises:
        UserError: a file is missing, cut, damaged, or only a pointer to the file.
    """
    if (folder / whole).is_file():
        for _ in stored_tensors(folder / whole):
            pass
        return
    index = folder / INDEX.replace(MODEL_WEIGHTS, whole)
    if not index.is_file():
        raise UserError(f"{folder}: no weights in it: {_instead(folder, f'{whole} or {index.name}')}")
    places = read_object(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise UserError(f"{index}: damaged: it has no weight_map; copy the file again")
    _check_shards(index, places)


def _instead(folder: Path, expected: str) -> str:
    """What was expected, and what the folder has instead. A pickle can run code when it is loaded."""
    pickles = sorted(path.name for path in folder.glob("*.bin") if path.name != "training_args.bin")
    if pickles:
        return (
            f"only as pickle ({pickles[0]}), which is not loaded; convert it once with: python "
            f"scripts/to_safetensors.py {folder}"
        )
    others = [path.name for path in weight_files(folder)]
    return f"expected {expected}{f', found only {others[0]}' if others else ''}; copy the missing files"


def _check_shards(index: Path, places: Mapping[str, str]) -> None:
    files = sorted(set(places.values()))
    outside = [name for name in files if Path(name).name != name]
    if outside:
        raise UserError(f"{index}: it names {outside[0]}, which is outside its folder; copy the model again")
    missing = [name for name in files if not (index.parent / name).is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"{index.parent / missing[0]}: not found{more}, and {index.name} says that weights are in it; copy the "
            "missing files of the model"
        )
    stored = {tensor.name: name for name in files for tensor in stored_tensors(index.parent / name)}
    for tensor, name in places.items():
        if stored.get(tensor) != name:
            raise UserError(
                f"{index.parent / name}: it has no {tensor}, and {index.name} says that it is there; copy both files "
                "again, of the same model"
            )


def _check_small_files(folder: Path) -> None:
    contents = {name: read_object(folder / name) for name in _SMALL_FILES if (folder / name).is_file()}
    tokenizer = contents.get("tokenizer.json")
    if tokenizer is not None and not isinstance(tokenizer.get("model"), dict):
        raise UserError(f"{folder / 'tokenizer.json'}: damaged: it has no vocabulary (model); copy the file again")


def _check_type(folder: Path, config: Mapping[str, Any], trust_remote_code: bool) -> None:
    path, kind = folder / CONFIG, config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise UserError(f"{path}: it has no model_type, so its kind of model is unknown; copy the file again")
    if _is_known(kind) or (config.get("auto_map") and trust_remote_code):
        return
    if config.get("auto_map"):
        raise UserError(
            f"{path}: model type {kind!r} comes with code of its own, which is run only with --trust_remote_code true; "
            "read the code first"
        )
    raise UserError(
        f"{path}: unknown model type {kind!r}; use a model that the installed transformers knows, or a later version "
        "of transformers"
    )


def _is_known(kind: str) -> bool:
    """Whether transformers has this type of model. Most have a folder of that name, and no import is needed."""
    package, folder = find_spec("transformers"), kind.replace("-", "_")
    if package is not None and package.origin is not None and folder.isidentifier():
        module = Path(package.origin).parent / "models" / folder / "__init__.py"
        if module.is_file():
            return True
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return kind in CONFIG_MAPPING
