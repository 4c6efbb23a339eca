"""What a run does on a machine without an accelerator: bf16 on the CPU needs no further flag."""

from __future__ import annotations

from llmtuner.cli.flags import Flags
from llmtuner.spec.flag import TRUE

_BF16 = ("bf16", "pure_bf16", "bf16_full_eval")


def on_this_machine(flags: Flags) -> tuple[Flags, tuple[str, ...]]:
    """The flags as this machine needs them, and lines for the user. It imports torch.

    transformers refuses bf16 without a GPU unless it is told to use the CPU, which it would use anyway.
    """
    import torch

    if torch.accelerator.is_available() and not _given(flags, "use_cpu"):
        return flags, ()
    if any(_given(flags, name) for name in _BF16):
        if _given(flags, "use_cpu"):
            return flags, ()
        return flags.with_("no accelerator", use_cpu="true"), ("no accelerator was found: bf16 on the CPU",)
    if flags["do_train"] and not _given(flags, "fp16") and has_bf16_kernels():
        return flags, ("this CPU computes in bf16, which trains faster than fp32: add --bf16",)
    return flags, ()


def _given(flags: Flags, name: str) -> bool:
    """Whether a yes/no flag is given as true; some are upstream's alone, whose words are not typed."""
    if name not in flags:
        return False
    words = flags.given[name].words
    return not words or words[0].lower() in TRUE


def has_bf16_kernels() -> bool:
    """Whether this CPU multiplies in bf16 faster than in fp32. It imports torch."""
    import torch

    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
