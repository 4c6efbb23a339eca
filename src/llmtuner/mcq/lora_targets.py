"""Which modules of a loaded model LoRA goes into: all that fit, or the given names, which must exist.

Upstream's `--lora_target all` looks for `nn.Linear`. GPT-2's layers are `Conv1D`, and some of Mamba's are used past
their `forward`, where an adapter would have no effect; peft refuses those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmtuner.errors import UserError
from llmtuner.suggest import did_you_mean

# What peft 0.18 refuses in state-space models, by the end of the module's name.
_STATE_SPACE = ("mamba", "mamba2", "falcon_mamba", "falcon_h1")
_REFUSED = ("out_proj", "conv1d")
EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "embed_in")  # peft saves them whole beside their adapter
# Names of output layers; peft saves the base's weights beside an adapter there. Others are found in a loaded model.
OUTPUTS = ("lm_head", "embed_out")
# Where embeddings are in a model; others are found when it is loaded.
_PARENTS = ("", "model.", "transformer.", "gpt_neox.", "embeddings.")
EMBEDDING_PATHS = tuple(f"{parent}{name}" for parent in _PARENTS for name in EMBEDDINGS)
ALL = ["all"]


def fitting_targets(model: Any, targets: Sequence[str]) -> list[str]:
    """The names of the modules that get an adapter.

    Args:
        targets: the given names; ["all"] stays as it is unless the model needs other names than upstream finds.

    Raises:
        UserError: the model has no module of a given name, or LoRA has no effect in it or cannot be loaded again.
    """
    refused = refused_targets(model.config.to_dict())
    output = _output_of(model)
    outputs = [name.rpartition(".")[2] for name, module in model.named_modules() if module is output]
    refused += tuple(outputs)
    fitting = _names(model, refused)
    if list(targets) == ALL:
        # Upstream's search leaves out an output layer of this name only.
        others = set(refused) - {*EMBEDDINGS, *OUTPUTS} or set(outputs) - {"lm_head"}
        has_conv1d = any(type(module).__name__ == "Conv1D" for module in model.modules())
        return fitting if others or has_conv1d else ALL
    every = [name for name, _ in model.named_modules()]
    for target in targets:
        last = target.rpartition(".")[2]
        if last in refused or not any(name == target or name.endswith(f".{target}") for name in every):
            raise UserError(f"`lora_target` {target}: {refusal(last, refused, fitting)}")
    return list(targets)


def _names(model: Any, refused: Sequence[str]) -> list[str]:
    """The last parts of the names of all linear layers, without what is refused."""
    names = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if "Linear" in type(module).__name__ or type(module).__name__ == "Conv1D"
    }
    return sorted(names - {*refused})


def _output_of(model: Any) -> Any:
    """The output layer of a language model; None for a model without one."""
    return model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None


def refused_targets(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of modules in which LoRA has no effect or cannot be loaded again, by the model's configuration."""
    without_effect = _REFUSED if config.get("model_type") in _STATE_SPACE else ()
    return (*without_effect, *EMBEDDINGS, *OUTPUTS)


def refuse_embeddings(lora: Any, embeddings: Sequence[str] = EMBEDDING_PATHS) -> None:
    """Refuse a `peft.LoraConfig` with an adapter in the embeddings or the output layer, by peft's own rule.

    Args:
        embeddings: names of the modules.

    Raises:
        UserError: with the name.
    """
    from peft.tuners.tuners_utils import check_target_module_exists

    if getattr(lora, "target_modules", None) is None:  # peft then takes a model's projections of queries and values
        return
    embedding = next((name for name in embeddings if check_target_module_exists(lora, name)), None)
    if embedding is not None:
        raise UserError(
            f"lora: target_modules takes {embedding} in, and an adapter there cannot be loaded again; name "
            'other modules, or give "all-linear"'
        )


def embeddings_of(model: Any) -> list[str]:
    """The names of a model's embeddings and of its output layer; an adapter there is saved as one in the embeddings."""
    from torch.nn import Embedding

    output = _output_of(model)
    return [name for name, module in model.named_modules() if isinstance(module, Embedding) or module is output]


def refusal(target: str, refused: Sequence[str], fitting: Sequence[str]) -> str:
    """Why a module cannot get an adapter, and which ones can."""
    reason = "the model has no such module"
    if target in EMBEDDINGS:
        reason = "an adapter in the embeddings cannot be loaded again"
    elif target in _REFUSED and target in refused:
        reason = "an adapter there has no effect in this model"
    elif target in refused:
        reason = "an adapter in the output layer cannot be loaded again"
    return f"{reason}; choose from: all, {', '.join(fitting)}.{did_you_mean(target, fitting)}"
