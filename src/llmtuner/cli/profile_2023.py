"""Defaults of the summer of 2023 that give other results today: named in a plain run, restored by --profile 2023."""

from __future__ import annotations

from llmtuner.cli.flags import Flags
from llmtuner.errors import UserError

# What the llama2 template of that time put before the first turn where no system prompt was given: Meta's published
# default system prompt of Llama-2-chat (arXiv:2307.09288). It is data; a change of wording would be another prompt.
LLAMA2_SYSTEM = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe. "
    "Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. "
    "Please ensure that your responses are socially unbiased and positive in nature.\n\n"
    "If a question does not make any sense, or is not factually coherent, explain why instead of answering something "
    "not correct. If you don't know the answer to a question, please don't share false information."
)

# name -> (default in 2023, default today)
CHANGED = {
    "lora_target": ("q_proj,v_proj", "all"),
    "lora_alpha": ("32", "twice the rank: 16"),
    "lora_dropout": ("0.1", "0.0"),
    "cutoff_len": ("1024", "2048"),
    "max_new_tokens": ("512", "1024"),
    "default_system": (LLAMA2_SYSTEM, "none"),
}
PROFILES = ("2023",)


def apply_profile(flags: Flags) -> list[str]:
    """Take --profile out of the flags and set its defaults where the user gave none; return what was set.

    Raises:
        UserError: a profile that does not exist.
    """
    if "profile" not in flags:
        return []
    name = flags.get("profile")
    if name not in PROFILES:
        raise UserError(f"--profile {name}: unknown; there is {', '.join(PROFILES)}")
    flags.remove("profile")
    chosen = [flag for flag in CHANGED if flag not in flags and _applies(flag, flags)]
    for flag in chosen:
        flags.set(flag, CHANGED[flag][0])
    values = ", ".join(f"--{flag} {_brief(CHANGED[flag][0])}" for flag in chosen)
    return [f"--profile 2023 sets {values}" if chosen else "--profile 2023 sets nothing: all of it is given"]


def changed_defaults(flags: Flags) -> list[str]:
    """For a plain training run, one line that names the defaults which differ from 2023's; empty where none does."""
    differing = [flag for flag in CHANGED if flag != "max_new_tokens" and flag not in flags and _applies(flag, flags)]
    if not differing:
        return []
    listed = "; ".join(f"--{flag} {CHANGED[flag][1]} (2023: {_brief(CHANGED[flag][0])})" for flag in differing)
    return [f"defaults that changed since 2023: {listed}. --profile 2023 brings the former back"]


def _applies(flag: str, flags: Flags) -> bool:
    if flag.startswith("lora_"):
        return (flags.get("finetuning_type") or "lora") == "lora"
    return flag != "default_system" or flags.get("template") == "llama2"


def _brief(value: str) -> str:
    return value if len(value) <= 30 else f"{value[:24]!r}..."
