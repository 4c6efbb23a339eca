"""Turn the values of a config file into command-line words."""

from __future__ import annotations

import json
from typing import Any

from llmtuner.cli.words import LIST_FLAGS
from llmtuner.data.problems import quoted
from llmtuner.errors import UserError

# Upstream types these as str and splits them at commas itself. The last line: old names for such fields.
COMMA_FLAGS = frozenset(
    [
        "dataset",
        "eval_dataset",
        "interleave_probs",
        "adapter_name_or_path",
        "add_tokens",
        "add_special_tokens",
        "freeze_trainable_modules",
        "freeze_extra_modules",
        "additional_target",
        "lora_target",
        "oft_target",
        "galore_target",
        "apollo_target",
        "ref_model_adapters",
        "reward_model_adapters",
        "profile_modules",
        "checkpoint_dir",
        "new_special_tokens",
        "ref_model_checkpoint",
        "dpo_ref_model_checkpoint",
        "reward_model_checkpoint",
    ]
)
# On a command line these take a mapping as JSON text.
JSON_FLAGS = frozenset(
    [
        "accelerator_config",
        "deepspeed",
        "fsdp_config",
        "gradient_checkpointing_kwargs",
        "lr_scheduler_kwargs",
        "ray_init_kwargs",
        "sglang_config",
        "vllm_config",
    ]
)
# A list in a file, but one word on a command line.
_ONE_ITEM_LISTS = frozenset({"optim_target_modules", "report_to"})
# YAML reads a bare `no` as false; here it is the name of a strategy.
_NO_IS_A_NAME = frozenset({"eval_strategy", "evaluation_strategy", "logging_strategy", "save_strategy"})


def words_of(name: str, value: Any) -> list[str]:
    """Turn a value from a file into the command-line words of the flag `name`.

    Raises:
        UserError: the flag takes no value of this kind.
    """
    if isinstance(value, dict):
        if name not in JSON_FLAGS:
            raise UserError(
                f"{name} takes one value, found a mapping; config files are flat: only "
                f"{', '.join(sorted(JSON_FLAGS))} take a mapping"
            )
        return [json.dumps(value, ensure_ascii=False)]
    if not isinstance(value, list):
        return [_word(name, value)]
    items = [_word(name, item) for item in value]
    if not items:
        raise UserError(f"{name} is an empty list; leave the key out")
    if name in LIST_FLAGS or (name in _ONE_ITEM_LISTS and len(items) == 1):
        return items
    if name not in COMMA_FLAGS:
        raise UserError(f"{name} takes one value, found a list of {len(items)}")
    if with_comma := [item for item in items if "," in item]:
        raise UserError(f"{name}: {with_comma[0]!r} contains a comma, which separates the items; rename it")
    return [",".join(items)]


def _word(name: str, value: Any) -> str:
    if isinstance(value, bool):
        if value is False and name in _NO_IS_A_NAME:
            return "no"
        return "true" if value else "false"
    if isinstance(value, str):
        _check_text(name, value)
        return value
    if isinstance(value, int | float):
        return repr(value)
    raise UserError(f"{name} takes text, a number or true/false, found {kind(value)}")


def _check_text(name: str, value: str) -> None:
    """Refuse what no command line could pass: file systems fail on it later, without saying where it came from."""
    if "\0" in value:
        raise UserError(f"{name}: {quoted(value)} contains a NUL character (U+0000); remove it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UserError(f"{name}: {quoted(value)} contains half a character; write both halves, or remove it") from None


def kind(value: Any) -> str:
    """What a value is, for a message."""
    names = {"dict": "a mapping", "list": "a list", "str": "text", "NoneType": "null", "bytes": "binary data"}
    return names.get(type(value).__name__, f"the {type(value).__name__} {value!r}")
