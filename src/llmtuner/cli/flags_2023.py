"""Translate flags of 2023, and later ones since renamed, to today's: a table, and one notice for each change.

A test checks the table against the pinned upstream. Nothing is dropped or rewritten without a notice; a flag without
an equivalent today is refused with the reason. Rules that need more than a table row are in `rewrites_2023`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llmtuner.cli import rewrites_2023 as rewrite
from llmtuner.cli.words import Words
from llmtuner.errors import UserError


@dataclass(frozen=True, slots=True)
class Rename:
    """The same flag under another name."""

    to: str


@dataclass(frozen=True, slots=True)
class Becomes:
    """A yes/no flag that is one value of another flag today; "no" is the default there."""

    to: str
    value: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Has no effect today, and none is needed."""

    why: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Still read, but no longer does what it did."""

    note: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """No longer supported; `why` says what to do instead."""

    why: str


@dataclass(frozen=True, slots=True)
class Special:
    """Anything else: `apply(flags, name)` changes the flags and returns the notice; `to` lists the names it may set."""

    apply: Callable[[Words, str], str]
    to: tuple[str, ...] = ()


Rule = Rename | Becomes | Drop | Keep | Refuse | Special


def translate(flags: Words) -> list[str]:
    """Rewrite old names and values in place; return one notice for each.

    Raises:
        UserError: every flag that cannot be translated, with the reasons, in one message.
    """
    notices: list[str] = []
    problems: list[str] = []
    origin: dict[str, str] = {}  # today's name -> the old name that it came from
    for name in list(flags):
        rule = RULES.get(name)
        if rule is None or name not in flags:  # an earlier rule handled both of its flags
            continue
        try:
            for target in targets(rule):
                if target in origin:
                    raise UserError(f"--{name} and --{origin[target]} both mean --{target} today: keep one of them")
            notices.append(_apply(flags, name, rule))
            origin |= {target: name for target in targets(rule) if target in flags}
        except UserError as error:
            problems.append(str(error))
    for change in _VALUES:
        try:
            notices += [notice] if (notice := change(flags)) else []
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    return notices


def targets(rule: Rule) -> tuple[str, ...]:
    """Today's names that a rule may set."""
    match rule:
        case Rename(to) | Becomes(to, _):
            return (to,)
        case Special(_, to):
            return to
        case _:
            return ()


def _apply(flags: Words, name: str, rule: Rule) -> str:
    match rule:
        case Rename(to):
            rewrite.refuse_both(flags, name, to)
            flags.rename(name, to)
            return f"--{name} is --{to} today"
        case Becomes(to, value):
            rewrite.refuse_both(flags, name, to)
            on = flags.is_true(name)
            flags.remove(name)
            if not on:
                return f"--{name} false is left out: it is off by default"
            flags.set(to, value)
            return f"--{name} is --{to} {value} today"
        case Drop(why):
            flags.remove(name)
            return f"--{name} is left out: {why}"
        case Keep(note):
            return f"--{name}: {note}"
        case Refuse(why):
            raise UserError(f"--{name} cannot be used today: {why}")
        case Special(apply):
            return apply(flags, name)


# Run on every command after the renames: values whose meaning changed. "" means no change.
_VALUES: tuple[Callable[[Words], str], ...] = (
    rewrite.tuning_none,
    rewrite.whole_lora_alpha,
    rewrite.data_for_prediction,
    rewrite.generate,
)

_DEVICE = Drop("devices are detected without it")
_ONE_BACKEND = Drop("torch's mixed precision is the only backend")
_SHARDING = Refuse("sharding is set up by --fsdp and --fsdp_config (a JSON file or text), or by --deepspeed")

LEGACY_2023: Mapping[str, Rule] = {
    # llmtuner, v0.1.0 to v0.1.8
    "checkpoint_dir": Special(rewrite.checkpoint_dir, ("adapter_name_or_path", "model_name_or_path")),
    "resume_lora_training": Special(rewrite.resume_lora_training, ("create_new_adapter",)),
    "dev_ratio": Rename("val_size"),
    "prompt_template": Rename("template"),
    "source_prefix": Special(rewrite.system, ("default_system",)),
    "system_prompt": Special(rewrite.system, ("default_system",)),
    "max_source_length": Special(rewrite.lengths, ("cutoff_len",)),
    "max_target_length": Special(rewrite.lengths, ("cutoff_len",)),
    "split": Special(rewrite.split),
    "num_layer_trainable": Special(rewrite.num_layer_trainable, ("freeze_trainable_layers",)),
    "name_module_trainable": Special(rewrite.name_module_trainable, ("freeze_trainable_modules",)),
    "num_hidden_layers": Drop("it is read from the model's config.json"),
    "padding_side": Drop("upstream pads on the right in training and on the left in generation"),
    "dpo_beta": Rename("pref_beta"),
    "hf_auth_token": Rename("hf_hub_token"),
    "use_auth_token": Drop("a login to the hub is used if there is one"),
    "compute_dtype": Refuse("it follows from --bf16, --fp16 or neither"),
    "model_max_length": Refuse("it follows from --cutoff_len"),
    # transformers 4.31
    "evaluation_strategy": Rename("eval_strategy"),
    "per_gpu_train_batch_size": Rename("per_device_train_batch_size"),
    "per_gpu_eval_batch_size": Rename("per_device_eval_batch_size"),
    "no_cuda": Rename("use_cpu"),
    "use_mps_device": _DEVICE,
    "group_by_length": Becomes("train_sampling_strategy", "group_by_length"),
    "adafactor": Becomes("optim", "adafactor"),
    "include_inputs_for_metrics": Becomes("include_for_metrics", "inputs"),
    "push_to_hub_model_id": Rename("hub_model_id"),
    "push_to_hub_token": Rename("hub_token"),
    # Without it, the model would be pushed to the user's own account.
    "push_to_hub_organization": Refuse("write --hub_model_id ORGANIZATION/NAME"),
    "save_safetensors": Special(rewrite.save_safetensors),
    "half_precision_backend": _ONE_BACKEND,
    "fp16_backend": _ONE_BACKEND,
    "fp16_opt_level": _ONE_BACKEND,
    "sharded_ddp": _SHARDING,
    "fsdp_min_num_params": _SHARDING,
    "fsdp_transformer_layer_cls_to_wrap": _SHARDING,
    "torchdynamo": Rename("torch_compile_backend"),
    "jit_mode_eval": Drop("evaluation is no longer traced"),
    "use_ipex": Drop("Intel's extension is no longer used"),
    "tpu_num_cores": _DEVICE,
    "tpu_metrics_debug": Drop("TPU metrics are no longer printed"),
    "past_index": Drop("no current model returns past states that way"),
    "mp_parameters": Drop("SageMaker's model parallelism is no longer supported"),
    "use_legacy_prediction_loop": Drop("only one prediction loop is left"),
    "ray_scope": Drop("it was for hyperparameter search only"),
    "xpu_backend": Drop("--ddp_backend chooses the backend"),
    "_n_gpu": _DEVICE,
}

# Renamed between v0.2 (autumn of 2023) and v0.9.4.
LATER: Mapping[str, Rule] = {
    "cache_path": Rename("tokenized_path"),
    "sft_packing": Rename("packing"),
    "neft_alpha": Rename("neftune_noise_alpha"),
    "dpo_loss": Rename("pref_loss"),
    "dpo_ftx": Rename("pref_ftx"),
    "orpo_beta": Rename("pref_beta"),
    "dpo_ref_model": Rename("ref_model"),
    "dpo_ref_model_checkpoint": Rename("ref_model_adapters"),
    "ref_model_checkpoint": Rename("ref_model_adapters"),
    "reward_model_checkpoint": Rename("reward_model_adapters"),
    "new_special_tokens": Rename("add_special_tokens"),
    "image_dir": Rename("media_dir"),
    "image_resolution": Refuse("--image_max_pixels counts pixels, height x width: 768 x 768 is 589824"),
    "video_resolution": Refuse("--video_max_pixels counts pixels, height x width: 256 x 256 is 65536"),
    "reserved_label_len": Drop("prompt and answer are cut by upstream's own rule"),
    "lora_bf16_mode": Rename("pure_bf16"),
    "disable_version_checking": Refuse("set the environment variable DISABLE_VERSION_CHECK=1"),
    "badam_switch_block_every": Rename("badam_switch_interval"),
    # The parser still reads these three.
    "warmup_ratio": Special(rewrite.warmup_ratio, ("warmup_steps",)),
    "use_cache": Keep("it is a flag of transformers today; --use_kv_cache controls the cache of generation"),
    "logging_dir": Keep("TensorBoard ignores it today; set the environment variable TENSORBOARD_LOGGING_DIR"),
}

RULES: Mapping[str, Rule] = {**LEGACY_2023, **LATER}
