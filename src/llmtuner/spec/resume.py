"""Which flags may differ between a training and the training that resumes from its checkpoint.

A flag that is in none of these tables must be the same: what shapes the weights is refused if it differs.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

# The resumed training takes the new value, and says so.
TAKEN_UP = frozenset(
    {
        "num_train_epochs",
        "max_steps",
        "logging_strategy",
        "logging_steps",
        "logging_first_step",
        "save_strategy",
        "save_steps",
        "save_total_limit",
        "eval_strategy",
        "eval_steps",
        "eval_delay",
        "eval_on_start",
        "load_best_model_at_end",
        "early_stopping_steps",
        "restore_callback_states_from_checkpoint",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "mcq_tokens_per_batch",
        "mcq_layout",
        "dataloader_num_workers",
        "dataloader_prefetch_factor",
        "dataloader_persistent_workers",
        "preprocessing_num_workers",
        "preprocessing_batch_size",
    }
)
# A different value gives another order of batches.
ORDER_OF_BATCHES = frozenset({"per_device_train_batch_size", "gradient_accumulation_steps", "mcq_tokens_per_batch"})
EARLY_STOPPING = "early_stopping_steps"
# With another value, a training that stopped early goes on.
LENGTH = frozenset({"num_train_epochs", "max_steps", EARLY_STOPPING, *ORDER_OF_BATCHES})
# Compared by content, not by name: a copied folder is the same model, a renamed file the same data.
BY_CONTENT = frozenset(
    {
        "model_name_or_path",
        "adapter_name_or_path",
        "dataset",
        "dataset_dir",
        "eval_dataset",
        "retrieve",
        "retrieve_rerank",
    }
)
# With one of these, scores of the evaluated questions decide which weights are saved.
CHOOSES_WEIGHTS = ("load_best_model_at_end", EARLY_STOPPING)
# These only decide where something is reported or stored, what is printed, or what happens after the training.
REPORTED = (
    "output_dir",
    "overwrite_output_dir",
    "overwrite_cache",
    "resume_from_checkpoint",
    "do_*",
    "profile",
    "help*",
    "version",
    "traceback",
    "dry_run",
    "allow_other_base",
    "log_*",
    "logging_dir",
    "disable_tqdm",
    "report_to",
    "run_name",
    "project",
    "trackio_*",
    "*swanlab*",
    "plot_loss",
    "print_param_status",
    "push_to_hub",
    "hub_*",
    "cache_dir",
    "media_dir",
    "dataloader_pin_memory",
    "skip_memory_metrics",
    "include_num_input_tokens_seen",
    "include_effective_tokens_per_second",
    "ddp_timeout",
    "data_shared_file_system",
    "per_device_eval_batch_size",
    "eval_accumulation_steps",
    "eval_do_concat_batches",
    "eval_use_gather_object",
    "batch_eval_metrics",
    "eval_on_each_dataset",
    "eval_num_beams",
    "mcq_option_orders",
    "compute_accuracy",
    "predict_with_generate",
    "generation_*",
    "max_new_tokens",
    "max_length",
    "temperature",
    "top_p",
    "top_k",
    "num_beams",
    "repetition_penalty",
    "length_penalty",
    "skip_special_tokens",
    "infer_*",
    "export_*",
    "vllm_*",
    "sglang_*",
    "master_*",
    "local_rank",
    "*profiler*",
)
SECRET = ("*_token", "*_api_key", "*_secret", "*_webhook_url")  # never stored


def is_reported(name: str) -> bool:
    """Whether a flag only concerns where or what is reported; upstream's `--no_X` is `--X false`."""
    return any(fnmatchcase(name.removeprefix("no_"), pattern) for pattern in REPORTED)


def is_secret(name: str) -> bool:
    """Whether a flag's value must not be stored."""
    return any(fnmatchcase(name, pattern) for pattern in SECRET)
