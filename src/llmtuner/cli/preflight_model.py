"""The model and adapters that a command names, before they are loaded, and what the model asks of other flags."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmtuner.cli.flags import Flags
from llmtuner.errors import UserError
from llmtuner.mcq.folders import ADAPTER_CONFIG, CONFIG, check_adapter_folder, check_model_folder, module_names
from llmtuner.mcq.kinds import last_position, model_kind
from llmtuner.mcq.lora_targets import refusal, refused_targets
from llmtuner.spec.model_files import VOCABULARY_FILES

PACKED = 8  # upstream pads packed rows to a multiple of this
_ROOM = 8  # generated text gets an eighth of the positions, unless --max_new_tokens says otherwise


def check_model(flags: Flags) -> dict[str, Any] | None:
    """Check the model's folder, and return its configuration; None for a name on the hub.

    Raises:
        UserError: no such model, its files are incomplete or damaged, or the stage cannot use it.
    """
    model = flags["model_name_or_path"]
    if model is None:
        raise UserError("--model_name_or_path is missing: the folder of a model, or its name on the hub")
    folder = Path(model)
    if not folder.exists():
        if _is_meant_as_path(model):
            raise UserError(f"--model_name_or_path {model}: no such folder")
        _check_offline(flags, model)
        return None
    if not folder.is_dir():
        raise UserError(f"--model_name_or_path {model}: expected a folder with config.json, found a file")
    if not (folder / CONFIG).is_file():
        hint = ""
        if (folder / ADAPTER_CONFIG).is_file():
            hint = "; this is an adapter: pass it as --adapter_name_or_path, and its base model here"
        raise UserError(f"--model_name_or_path {model}: no config.json in it{hint}")
    if not any((folder / name).is_file() for name in VOCABULARY_FILES):
        raise UserError(f"--model_name_or_path {model}: no tokenizer in it (one of {', '.join(VOCABULARY_FILES)})")
    config = check_model_folder(folder, trust_remote_code=flags["trust_remote_code"])
    if (folder / ADAPTER_CONFIG).is_file():
        raise UserError(
            f"--model_name_or_path {model}: a model and an adapter ({ADAPTER_CONFIG}) in one folder; it is not clear "
            "which is meant; move the adapter's files to a folder of their own"
        )
    if _kind(folder, config) == "encoder" and flags["stage"] != "mcq":
        raise UserError(
            f"--model_name_or_path {model}: model type {config['model_type']!r} is an encoder, which writes no text; "
            "use --stage mcq, or a causal model"
        )
    _check_targets(flags, folder, refused_targets(config))
    return config


def _kind(folder: Path, config: Mapping[str, Any]) -> str:
    try:
        return model_kind(config)
    except UserError as error:
        raise UserError(f"{folder / CONFIG}: {error}") from error


def check_adapter(adapter: str) -> None:
    """Check an adapter's folder.

    Raises:
        UserError: no such folder, or its files are incomplete or damaged.
    """
    folder = Path(adapter)
    if not folder.exists():
        if "/" in adapter and not _is_offline() and not _is_meant_as_path(adapter):
            return  # a name on the hub
        raise UserError(f"--adapter_name_or_path {adapter}: no such folder; expected the --output_dir of a training")
    if not (folder / ADAPTER_CONFIG).is_file():
        raise UserError(
            f"--adapter_name_or_path {adapter}: no adapter_config.json in it; expected the --output_dir of a finished "
            "LoRA training, or one of its checkpoint folders"
        )
    check_adapter_folder(folder)


def fitted(flags: Flags, config: Mapping[str, Any] | None) -> tuple[Flags, tuple[str, ...]]:
    """The flags with a --cutoff_len that the model and packing can take, and lines for the user.

    Stage mcq settles its positions with the encoder of the prompts, which stored models bring with them.

    Raises:
        UserError: nothing is left of --cutoff_len.
    """
    notices: list[str] = []
    positions = last_position(config or {})
    if positions is not None and flags["stage"] != "mcq":
        flags, lines = _within_positions(flags, positions)
        notices += lines
    packs = flags["packing"] or flags["neat_packing"] or (flags["packing"] is None and flags["stage"] == "pt")
    limit = flags["cutoff_len"]
    if flags["do_train"] and packs and limit % PACKED:
        rounded = limit // PACKED * PACKED
        if not rounded:
            raise UserError(
                f"--cutoff_len {limit}: packed rows have a multiple of {PACKED} tokens; raise it to {PACKED}"
            )
        flags = flags.with_("packing", cutoff_len=str(rounded))
        notices.append(f"cutoff_len: {rounded} instead of {limit}: packed rows have a multiple of {PACKED} tokens")
    return flags, tuple(notices)


def _within_positions(flags: Flags, positions: int) -> tuple[Flags, list[str]]:
    """A cutoff_len within the model's positions, minus the text that a prediction generates."""
    has = f"the model has positions for {positions} tokens"
    if flags["do_train"]:
        positions -= positions % PACKED  # upstream pads the rows of a training to a multiple of this
    room = 0
    notices: list[str] = []
    if flags["do_predict"] or flags["predict_with_generate"]:
        room = max(0, flags["max_new_tokens"])  # -1: no number is set
        if "max_new_tokens" not in flags and room > positions // _ROOM:
            room = max(1, positions // _ROOM)
            flags = flags.with_("positions", max_new_tokens=str(room))
            notices.append(f"max_new_tokens: {room}: {has}")
    limit = min(flags["cutoff_len"], positions - room)
    if limit < 1:
        raise UserError(f"--max_new_tokens {room}: {has}, prompt included; lower it (a letter needs 8)")
    if limit < flags["cutoff_len"]:
        less = f", {room} of them for generated text" if room else ""
        notices.append(f"cutoff_len: {limit} instead of {flags['cutoff_len']}: {has}{less}")
        flags = flags.with_("positions", cutoff_len=str(limit))
    return flags, notices


def _check_targets(flags: Flags, folder: Path, refused: Sequence[str]) -> None:
    """Refuse a --lora_target that the model's weights do not have, or in which LoRA has no effect.

    Mixtures of experts are left to the check after loading: transformers gives their modules other names.
    """
    targets = flags.names("lora_target")
    if not flags["do_train"] or flags["finetuning_type"] != "lora" or targets == ["all"]:
        return
    every, matrices = module_names(folder)
    fitting = [name for name in matrices if name not in refused]
    for target in targets:
        last = target.rpartition(".")[2]
        if last in refused or (last not in every and not any("expert" in name for name in every)):
            raise UserError(f"--lora_target {target}: {refusal(last, refused, fitting)}")


def _is_meant_as_path(name: str) -> bool:
    """Whether a name that is not a folder cannot be on the hub: wrong form, or its parent is a folder here."""
    parent_exists = "/" in name and Path(name).parent.is_dir()
    return parent_exists or name.startswith((".", "/", "~")) or name.count("/") > 1


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on")


def _check_offline(flags: Flags, model: str) -> None:
    """Without a network, a name on the hub must be in its cache."""
    if not _is_offline():
        return
    from huggingface_hub import try_to_load_from_cache

    try:
        where = {"cache_dir": flags["cache_dir"], "revision": flags["model_revision"]}
        path = try_to_load_from_cache(model, CONFIG, **where)
    except ValueError:  # no name that the hub could have
        path = None
    if not isinstance(path, str):
        raise UserError(
            f"--model_name_or_path {model}: no such folder, and not in the cache of the hub; the network is turned off "
            "(HF_HUB_OFFLINE)"
        )
