"""Names that flags had in 2023 and since, and what became of them.

The notes' commands are of the summer of 2023 (LLaMA-Efficient-Tuning v0.1.2 to v0.1.6, transformers 4.31). 47 flags of
that time no longer parse; they are translated, dropped where they mean nothing any more, or refused with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llmtuner.cli.flags import Flags
from llmtuner.errors import UserError

DEFAULT_SIDE = 512  # tokens of prompt, and of answer, that 2023 took where nothing was said


@dataclass(frozen=True, slots=True)
class Rename:
    """The same flag under another name."""

    to: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """A flag without effect today."""

    why: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """A flag whose meaning cannot be kept."""

    why: str


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A flag that becomes something else, by a function that changes the flags and says what it did."""

    to: str
    apply: Callable[[Flags], str]


Rule = Rename | Drop | Refuse | Rewrite


def _checkpoint_dir(flags: Flags) -> str:
    kind = flags.get("finetuning_type") or "lora"
    if kind in ("lora", "none"):
        flags.rename("checkpoint_dir", "adapter_name_or_path")
        return "--checkpoint_dir is --adapter_name_or_path today"
    if kind == "full":
        flags.set("model_name_or_path", flags.get("checkpoint_dir") or "")
        flags.remove("checkpoint_dir")
        return "--checkpoint_dir of a full fine-tuning is --model_name_or_path today"
    raise UserError(
        f"--checkpoint_dir with --finetuning_type {kind}: such checkpoints of 2023 hold the trained layers only and "
        "cannot be loaded; merge them with the version that wrote them, and pass the result as --model_name_or_path"
    )


def _resume_lora_training(flags: Flags) -> str:
    resumes = flags.is_true("resume_lora_training")
    flags.remove("resume_lora_training")
    flags.set("create_new_adapter", "false" if resumes else "true")
    return f"--resume_lora_training {resumes} is --create_new_adapter {not resumes} today"


def _cutoff_len(flags: Flags) -> str:
    sides = [int(flags.get(name) or DEFAULT_SIDE) for name in ("max_source_length", "max_target_length")]
    for name in ("max_source_length", "max_target_length"):
        flags.remove(name)
    if "cutoff_len" in flags:
        return "--max_source_length and --max_target_length are left to --cutoff_len, which is given"
    flags.set("cutoff_len", str(sum(sides)))
    return f"--max_source_length {sides[0]} and --max_target_length {sides[1]} are --cutoff_len {sum(sides)} today"


def _split(flags: Flags) -> str:
    split = flags.get("split")
    if split != "train":
        raise UserError(f"--split {split}: the split is a key of the data set's entry in dataset_info.json today")
    flags.remove("split")
    return "--split train is dropped: it is the default"


def _group_by_length(flags: Flags) -> str:
    return _switch(flags, "group_by_length", "train_sampling_strategy", "group_by_length")


def _adafactor(flags: Flags) -> str:
    return _switch(flags, "adafactor", "optim", "adafactor")


def _include_inputs(flags: Flags) -> str:
    return _switch(flags, "include_inputs_for_metrics", "include_for_metrics", "inputs")


def _switch(flags: Flags, old: str, new: str, value: str) -> str:
    """A yes/no flag that became a value of another."""
    on = flags.is_true(old)
    flags.remove(old)
    if not on:
        return f"--{old} false is dropped: it is the default"
    flags.set(new, value)
    return f"--{old} is --{new} {value} today"


def _save_safetensors(flags: Flags) -> str:
    wanted = flags.is_true("save_safetensors")
    flags.remove("save_safetensors")
    return "--save_safetensors is dropped: " + ("it is always so" if wanted else "weights are always safetensors today")


def _warmup_ratio(flags: Flags) -> str:
    ratio = flags.get("warmup_ratio") or "0"
    flags.remove("warmup_ratio")
    if float(flags.get("warmup_steps") or 0) > 0:  # as ever, steps win over a ratio
        return f"--warmup_ratio {ratio} is dropped: --warmup_steps is given"
    flags.set("warmup_steps", ratio)
    return f"--warmup_ratio {ratio} is --warmup_steps {ratio} today (below 1 it is a share of all steps)"


_LENGTHS = Rewrite("cutoff_len", _cutoff_len)
_GONE = "it has no effect in today's transformers"
_FSDP = Refuse("its settings are keys of the JSON file in --fsdp_config today (with --fsdp full_shard)")

FLAGS_OF_2023: dict[str, Rule] = {
    "checkpoint_dir": Rewrite("adapter_name_or_path", _checkpoint_dir),
    "resume_lora_training": Rewrite("create_new_adapter", _resume_lora_training),
    "dev_ratio": Rename("val_size"),
    "prompt_template": Rename("template"),
    "source_prefix": Rename("default_system"),
    "system_prompt": Rename("default_system"),
    "max_source_length": _LENGTHS,
    "max_target_length": _LENGTHS,
    "split": Rewrite("split", _split),
    "num_layer_trainable": Rename("freeze_trainable_layers", "its default was 3 and is 2"),
    "name_module_trainable": Rename("freeze_trainable_modules", "its default was mlp and is all"),
    "num_hidden_layers": Drop("it is read from the model's configuration"),
    "padding_side": Drop("right in training, left in generation"),
    "dpo_beta": Rename("pref_beta"),
    "hf_auth_token": Rename("hf_hub_token"),
    "use_auth_token": Drop("the hub's login is used by itself"),
    "compute_dtype": Refuse("it is set by --fp16, --bf16 or --pure_bf16"),
    "model_max_length": Refuse("it is set by --cutoff_len"),
    "evaluation_strategy": Rename("eval_strategy"),
    "per_gpu_train_batch_size": Rename("per_device_train_batch_size"),
    "per_gpu_eval_batch_size": Rename("per_device_eval_batch_size"),
    "no_cuda": Rename("use_cpu"),
    "use_mps_device": Drop("an MPS device is used where there is one"),
    "group_by_length": Rewrite("train_sampling_strategy", _group_by_length),
    "adafactor": Rewrite("optim", _adafactor),
    "include_inputs_for_metrics": Rewrite("include_for_metrics", _include_inputs),
    "push_to_hub_model_id": Rename("hub_model_id"),
    "push_to_hub_token": Rename("hub_token"),
    "push_to_hub_organization": Drop("write it into --hub_model_id: organization/name"),
    "save_safetensors": Rewrite("save_safetensors", _save_safetensors),
    "half_precision_backend": Drop(_GONE),
    "fp16_backend": Drop(_GONE),
    "fp16_opt_level": Drop(_GONE),
    "sharded_ddp": Refuse("fairscale's sharding is gone; use --fsdp or --deepspeed"),
    "fsdp_min_num_params": _FSDP,
    "fsdp_transformer_layer_cls_to_wrap": _FSDP,
    "torchdynamo": Rename("torch_compile_backend"),
    "jit_mode_eval": Drop(_GONE),
    "use_ipex": Drop(_GONE),
    "tpu_num_cores": Drop(_GONE),
    "tpu_metrics_debug": Drop(_GONE),
    "past_index": Drop(_GONE),
    "mp_parameters": Drop(_GONE),
    "use_legacy_prediction_loop": Drop(_GONE),
    "ray_scope": Drop(_GONE),
    "xpu_backend": Drop(_GONE),
    "_n_gpu": Drop(_GONE),
}

# Renamed between v0.2 (autumn of 2023) and v0.9.4; people still type these, too.
LATER_FLAGS: dict[str, Rule] = {
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
    "image_resolution": Refuse("give --image_max_pixels, a number of pixels"),
    "video_resolution": Refuse("give --video_max_pixels, a number of pixels"),
    "reserved_label_len": Drop("the answer is never cut"),
    "lora_bf16_mode": Rename("pure_bf16"),
    "disable_version_checking": Refuse("set the environment variable DISABLE_VERSION_CHECK=1"),
    "badam_switch_block_every": Rename("badam_switch_interval"),
    "warmup_ratio": Rewrite("warmup_steps", _warmup_ratio),
    "logging_dir": Drop("set the environment variable TENSORBOARD_LOGGING_DIR"),
}


def translate(flags: Flags) -> list[str]:
    """Put today's names and values in place of former ones; return one notice for each.

    Raises:
        UserError: a refused flag with its reason, or an old and a new name for the same thing.
    """
    notices = []
    for name, rule in {**FLAGS_OF_2023, **LATER_FLAGS}.items():
        if name in flags:
            notices.append(_apply(flags, name, rule))
    return [*notices, *_values(flags)]


def _apply(flags: Flags, name: str, rule: Rule) -> str:
    match rule:
        case Refuse(why):
            raise UserError(f"--{name} of former versions cannot be translated: {why}")
        case Drop(why):
            flags.remove(name)
            return f"--{name} of former versions is dropped: {why}"
        case Rename(to, remark):
            _only_one_name(flags, name, to)
            flags.rename(name, to)
            return f"--{name} is --{to} today" + (f" ({remark})" if remark else "")
        case Rewrite(to, apply):
            if rule is not _LENGTHS and name != to and name != "warmup_ratio":
                _only_one_name(flags, name, to)
            try:
                return apply(flags)
            except UserError:
                raise
            except ValueError as error:
                raise UserError(f"--{name}: expected a number, found {flags.get(name)!r}") from error


def _only_one_name(flags: Flags, old: str, new: str) -> None:
    replaces_model = old == "checkpoint_dir" and flags.get("finetuning_type") == "full"
    if new in flags and not replaces_model:
        raise UserError(f"--{old} is the former name of --{new}, and both are given; leave out --{old}")


def _values(flags: Flags) -> list[str]:
    """Values that changed, and 2023's prediction command."""
    notices = []
    if flags.values("finetuning_type") == ["none"]:
        flags.set("finetuning_type", "lora")
        notices.append("--finetuning_type none is lora today; without an adapter the model is used as it is")
    for name in ("lora_alpha", "lora_rank"):
        [value] = flags.values(name) or [""]
        if value.endswith(".0"):
            flags.set(name, value.removesuffix(".0"))
            notices.append(f"--{name} {value} is a whole number today: {value.removesuffix('.0')}")
    trains, predicts = flags.is_true("do_train"), flags.is_true("do_predict")
    evaluates = predicts or flags.is_true("do_eval")
    if evaluates and not trains and "dataset" in flags and "eval_dataset" not in flags and "val_size" not in flags:
        flags.rename("dataset", "eval_dataset")
        notices.append("--dataset without --do_train is --eval_dataset today")
    if predicts and flags.get("stage") in (None, "sft") and "predict_with_generate" not in flags:
        flags.set("predict_with_generate")
        notices.append("--do_predict in stage sft generates: --predict_with_generate is set")
    return notices
