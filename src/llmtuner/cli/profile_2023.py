"""`--profile 2023`: the defaults of summer 2023 (v0.1.6) for flags that are not given, and which have changed since."""

from __future__ import annotations

from dataclasses import dataclass

from llmtuner.cli.words import Words
from llmtuner.errors import UserError
from llmtuner.spec.entry import choose_from

# Meta's default for Llama-2 chat (arXiv:2307.09288, appendix A.3.3), including its double space in paragraph one.
LLAMA2_SYSTEM = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe.  "
    "Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. "
    "Please ensure that your responses are socially unbiased and positive in nature.\n\n"
    "If a question does not make any sense, or is not factually coherent, explain why instead of answering something "
    "not correct. If you don't know the answer to a question, please don't share false information."
)


@dataclass(frozen=True, slots=True)
class Default:
    """A default that changed, and the runs that it affects."""

    flag: str
    then: str
    today: str
    tuning: str = ""  # only with this --finetuning_type
    template: str = ""  # only with this --template
    predicting: bool = False  # affects generation, not training


DEFAULTS = (
    Default("lora_target", "q_proj,v_proj", "all", tuning="lora"),
    Default("lora_alpha", "32", "2 x lora_rank", tuning="lora"),
    Default("lora_dropout", "0.1", "0.0", tuning="lora"),
    Default("freeze_trainable_layers", "3", "2", tuning="freeze"),
    Default("freeze_trainable_modules", "mlp", "all", tuning="freeze"),
    Default("cutoff_len", "1024", "2048"),
    Default("max_new_tokens", "512", "1024", predicting=True),
    Default("default_system", LLAMA2_SYSTEM, "none", template="llama2"),
)
PROFILES = {"2023": DEFAULTS}
# Upstream's own default, needed for lora_alpha.
_LORA_RANK = "8"


def apply_profile(flags: Words) -> list[str]:
    """Remove `--profile` from the flags and set what it stands for. Old names must be translated first.

    Raises:
        UserError: an unknown profile.
    """
    name = flags.get("profile")
    if name is None:
        return []
    if name not in PROFILES:
        raise UserError(f"--profile {name}: {choose_from(name, PROFILES)}")
    flags.remove("profile")
    missing = [default for default in PROFILES[name] if _concerns(default, flags) and default.flag not in flags]
    for default in missing:
        flags.set(default.flag, default.then, origin=f"--profile {name}")
    if not missing:
        return [f"--profile {name} sets nothing: all its flags are given"]
    return [f"--profile {name} sets " + ", ".join(f"{default.flag} {_short(default.then)}" for default in missing)]


def changed_defaults(flags: Words) -> list[str]:
    """A line for each default of 2023 that would change this training, and how to restore them.

    Empty for anything other than training in stage sft.
    """
    if flags.get("stage") not in (None, "sft") or not flags.is_true("do_train"):
        return []
    lines = []
    for default in DEFAULTS:
        if default.flag in flags or not _concerns(default, flags):
            continue
        if default.predicting and not flags.is_true("do_predict"):
            continue
        today = _today(default, flags)
        if today != default.then:
            lines.append(f"{default.flag}: {today} (2023: {_short(default.then)})")
    return [*lines, "--profile 2023 restores these defaults"] if lines else []


def _concerns(default: Default, flags: Words) -> bool:
    tuning = default.tuning in ("", flags.get("finetuning_type") or "lora")
    return tuning and default.template in ("", flags.get("template"))


def _today(default: Default, flags: Words) -> str:
    if default.flag != "lora_alpha":
        return default.today
    rank = flags.get("lora_rank") or _LORA_RANK
    return str(2 * int(rank)) if rank.isdecimal() else default.today


def _short(value: str) -> str:
    return "Meta's system prompt of Llama-2 chat" if value == LLAMA2_SYSTEM else value
