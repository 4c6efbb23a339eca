"""The base model of an adapter: where it is now, and whether it is the one that the adapter was trained on.

Light: no torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmtuner.errors import UserError
from llmtuner.files import split_paths
from llmtuner.runs.adapter import ADAPTER_CONFIG, is_adapter, read_adapter_config
from llmtuner.runs.manifest import Manifest, manifest_of
from llmtuner.runs.weights import base_fingerprint, same_tokenizer, vocabulary_digest

SHOWN = 12  # digits of a fingerprint in a message
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def stored_path(name: str) -> str:
    """A folder's absolute path, so that it is found from any working directory; a hub name is returned unchanged."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def is_hub_name(name: str) -> bool:
    """Whether a name has the form of a name on the hub: `model` or `owner/model`."""
    return bool(_HUB_NAME.fullmatch(name))


def model_folder(name: str, *, revision: str | None = None, cache_dir: str | None = None) -> Path | None:
    """The folder of a model: a local one, or that of a hub model in the cache; None if neither is there."""
    if Path(name).is_dir():
        return Path(name)
    if not is_hub_name(name):
        return None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(name, "config.json", cache_dir=cache_dir, revision=revision)
    return Path(cached).parent if isinstance(cached, str) else None


def resolved(name: str, adapter: str | os.PathLike[str]) -> str | None:
    """A stored path as a folder that exists: as it is, else relative to the adapter's folder or one above it."""
    places = [Path(name), *(place / name for place in (Path(adapter).resolve(), *Path(adapter).resolve().parents))]
    files = ("config.json", ADAPTER_CONFIG)
    return next((str(place.resolve()) for place in places if any((place / file).is_file() for file in files)), None)


def stored_base(adapter: str | os.PathLike[str]) -> str:
    """The base model that an adapter names: a folder's absolute path, or a name on the hub.

    What was a local path is never looked up on the hub. Earlier versions stored paths as they were given, and
    "models/tiny" may also be a hub name: it counts as one only if the hub's cache has it, or if the folder has a
    manifest, whose versions store absolute paths.

    Raises:
        UserError: the folder is not there any more.
    """
    name = read_adapter_config(adapter).get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise UserError(f"{Path(adapter) / ADAPTER_CONFIG}: names no base model; pass `base_model`")
    folder = resolved(name, adapter)
    if folder is not None:
        return folder
    if is_hub_name(name) and (model_folder(name) is not None or manifest_of(adapter) is not None):
        return name
    hub = " (or, if that is a name on the hub, the name)" if is_hub_name(name) else ""
    raise UserError(
        f"{adapter}: its base model was the local folder {name}, which is not there; pass `base_model` with its path "
        f"now{hub}"
    )


def below_of(name: str, adapter: str | os.PathLike[str], *, absolute: bool) -> str:
    """The folder of an adapter that lies below another one, or its name on the hub.

    Args:
        absolute: whether folders are stored by absolute paths, so that another name is one on the hub.

    Raises:
        UserError: it is not there any more.
    """
    folder = resolved(name, adapter) or moved_with(name, adapter)
    if folder is not None:
        return folder
    if absolute and is_hub_name(name):
        return name
    raise UserError(
        f"{adapter} was trained on top of the adapter {name}, which is not there; restore it, or copy it beside "
        f"{Path(adapter).name} as {Path(name).name}"
    )


def moved_with(name: str, adapter: str | os.PathLike[str]) -> str | None:
    """The adapter below another one, where both have moved together; None if it is not beside it.

    It has the same folder name, and the weights that the manifest of the upper one lists.

    Args:
        name: the stored path.
    """
    manifest, below = manifest_of(adapter), Path(name)
    if manifest is None:
        return None
    names = (below.name, Path(below.parent.name, below.name))  # the second: a checkpoint in its folder
    places = (above / each for above in Path(adapter).resolve().parents for each in names)
    moved = (place for place in places if is_adapter(place) and base_fingerprint(place) in manifest.adapters)
    return next(map(str, moved), None)


def adapters_below(adapter: str | os.PathLike[str]) -> tuple[str, ...]:
    """The adapters that were merged before an adapter of stage sft was trained on top, as its manifest says.

    () without a manifest: earlier versions did not store them.
    """
    manifest = manifest_of(adapter)
    settings = {} if manifest is None else manifest.settings
    names = _folders_of(settings, "adapter_name_or_path")
    is_new = settings.get("create_new_adapter") in (True, "true")
    return tuple(filter(None, names if is_new else names[:-1]))  # without a new one, the last was trained further


def _folders_of(settings: Mapping[str, Any], name: str) -> list[str]:
    return [folder for word in _words(settings, name) for folder in split_paths(word)]


def _words(settings: Mapping[str, Any], name: str) -> list[str]:
    """The words of a stored flag; a manifest has its words or its value."""
    value = settings.get(name)
    words = [] if value is None else value if isinstance(value, list | tuple) else [value]
    return [str(word).lower() if isinstance(word, bool) else str(word) for word in words]


def check_same_base(
    adapter: str | os.PathLike[str],
    model: str,
    *,
    allow_other: bool = False,
    revision: str | None = None,
    cache_dir: str | None = None,
) -> None:
    """Refuse an adapter of another base model, even one whose shapes are equal. A copied or moved base is the same.

    Nothing is compared if the adapter has no manifest, or if a hub model is not in the cache yet.

    Args:
        allow_other: accept another base.

    Raises:
        UserError: with both fingerprints, and the base that is stored.
    """
    manifest = manifest_of(adapter)
    if allow_other or manifest is None or not manifest.base:
        return
    folder = model_folder(model, revision=revision, cache_dir=cache_dir)
    given = base_fingerprint(folder) if folder is not None else ""
    if folder is not None and not same_tokenizer(manifest.tokenizer, vocabulary_digest(folder)):
        raise UserError(
            f"{adapter} was trained with another tokenizer: {manifest.tokenizer.partition(':')[0]} of {model} is not "
            "the file that it was; copy that file again, or pass `allow_other_base` to use this one"
        )
    if not given or given == manifest.base:
        return
    raise UserError(
        f"{adapter} was trained on another base model ({_named_base(adapter, manifest)}, fingerprint "
        f"{manifest.base[:SHOWN]}), and {model} has fingerprint {given[:SHOWN]}; pass the base model that it was "
        "trained on, or `allow_other_base` to use this one"
    )


def merging_advised(message: str) -> str:
    """A message of this module, for a command that takes no other base model: merge with `scripts/merge.py` first."""
    merging = r"merge it with its base model first (scripts/merge.py --\2) and give the merged folder"
    return re.sub(r"(pass )?`(base_model|allow_other_base)`( with its path now| to use this one)?", merging, message)


def check_lower_adapters(adapters: Sequence[str], *, allow_other: bool = False) -> None:
    """Refuse other weights in the adapters that the last one was trained on top of.

    Args:
        adapters: all of them, in order.

    Raises:
        UserError: with both fingerprints of the first that differs.
    """
    manifest = manifest_of(adapters[-1]) if adapters else None
    if manifest is None or allow_other:
        return
    for stored, adapter in zip(manifest.adapters, adapters[:-1], strict=False):
        given = base_fingerprint(adapter)
        if stored and given and stored != given:
            raise UserError(
                f"{adapters[-1]} was trained on top of other weights of {adapter} (fingerprint {stored[:SHOWN]}, now "
                f"{given[:SHOWN]}); restore that adapter, or pass `allow_other_base` to use this one"
            )


def _named_base(adapter: str | os.PathLike[str], manifest: Manifest) -> str:
    name = read_adapter_config(adapter).get("base_model_name_or_path") if is_adapter(adapter) else None
    return str(name or manifest.settings.get("model_name_or_path") or "its path is not stored")
