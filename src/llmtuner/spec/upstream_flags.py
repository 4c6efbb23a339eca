"""Upstream's flags that `--help` shows, or that are read before upstream is imported. A test checks them against it."""

from __future__ import annotations

from llmtuner.spec.flag import ABOVE_0, AT_LEAST_0, AT_LEAST_1, SHARE, Conflict, Flag, Range
from llmtuner.spec.upstream_numbers import BITS, NUMBERS, SEED, STEPS_OR

STAGES = ("sft", "mcq")  # the stages that know what a question is
OTHER_STAGES = ("pt", "rm", "ppo", "dpo", "kto")
ADAPTER_TYPES = ("lora", "oft")  # of --finetuning_type: they leave an adapter, the others a whole model
_LEAVE_OUT = "leave the flag out"


def _not_in_mcq(why: str, own: object = None, only: object = None) -> tuple[Conflict, ...]:
    return (Conflict("stage", "mcq", why, own, only),)


_MODEL = (
    Flag(
        name="model_name_or_path", help="folder of the base model, or its name on the hub", value="MODEL", field="model"
    ),
    Flag(
        name="adapter_name_or_path",
        help="folder of a LoRA adapter, to predict with or to train further",
        value="DIR",
        field="adapters",
    ),
    Flag(name="template", help="prompt format: llama2, mistral, qwen, default, ...", value="NAME", field="template"),
    Flag(
        name="quantization_bit",
        type=int,
        help="load the base model in 4 or 8 bits (needs bitsandbytes)",
        value="4|8",
        range=BITS,
        conflicts=tuple(
            Conflict(
                "quantization_method", "bnb", "bitsandbytes takes 4 or 8; or choose --quantization_method hqq", bits
            )
            for bits in (1, 2, 3, 5, 6)
        ),
    ),
    Flag(name="trust_remote_code", type=bool, default=False, help="run Python code that comes with the model"),
)
_DATA = (
    Flag(
        name="dataset",
        help="training data: names or paths (files, folders or patterns), separated by commas",
        value="NAMES",
    ),
    Flag(name="eval_dataset", help="data for evaluation and prediction, in the same form", value="NAMES"),
    Flag(name="dataset_dir", help="folder of dataset_info.json; unless given, the project's data/", value="DIR"),
    Flag(
        name="val_size",
        type=float,
        default=0.0,
        help="hold out this share of the questions for evaluation; a value above 1 is a number of questions",
        value="SHARE",
        range=AT_LEAST_0,
        field="val_size",
    ),
    Flag(
        name="cutoff_len",
        type=int,
        default=2048,
        range=AT_LEAST_1,
        help="maximum number of tokens per question; only the end of its context is cut",
        value="N",
        field="cutoff_len",
    ),
    Flag(
        name="max_samples",
        type=int,
        help="use only the first N rows of each data set",
        value="N",
        range=AT_LEAST_1,
        field="max_samples",
    ),
    Flag(name="overwrite_cache", type=bool, default=False, help="tokenise again instead of using the cache"),
)
_TRAINING = (
    Flag(name="stage", default="sft", help="sft: write the answer's letter; mcq: classify the options", value="NAME"),
    Flag(name="do_train", type=bool, default=False, help="train"),
    Flag(
        name="do_eval",
        type=bool,
        default=False,
        help="evaluate on --eval_dataset, or on the questions of --val_size",
    ),
    Flag(
        name="finetuning_type",
        default=ADAPTER_TYPES[0],
        help="lora, freeze or full",
        value="TYPE",
        conflicts=_not_in_mcq(
            "peft cannot merge its adapters beside a head, so that nothing could be predicted with them; use lora, "
            "freeze or full",
            own="oft",
        ),
    ),
    Flag(
        name="per_device_train_batch_size",
        type=int,
        default=8,
        help="batch size on each device",
        value="N",
        range=AT_LEAST_1,
    ),
    Flag(
        name="gradient_accumulation_steps",
        type=int,
        default=1,
        help="batches per step; a step is one update of the weights",
        value="N",
        range=AT_LEAST_1,
    ),
    Flag(name="learning_rate", type=float, default=5e-5, help="peak learning rate", value="X", range=ABOVE_0),
    Flag(
        name="lr_scheduler_type",
        default="linear",
        help="learning-rate schedule: linear, cosine, constant, ...",
        value="NAME",
    ),
    Flag(
        name="warmup_steps",
        type=float,
        default=0.0,
        help="warm-up steps; below 1, a share of all steps",
        value="N",
        range=AT_LEAST_0,
    ),
    Flag(name="num_train_epochs", type=float, default=3.0, help="passes over the data", value="X", range=ABOVE_0),
    Flag(
        name="max_steps",
        type=int,
        default=-1,
        help="stop after N steps; -1: train for --num_train_epochs",
        value="N",
        range=STEPS_OR,
    ),
    Flag(name="fp16", type=bool, default=False, help="mixed precision for older GPUs"),
    Flag(name="bf16", type=bool, default=False, help="mixed precision for Ampere and newer"),
    Flag(
        name="seed",
        type=int,
        default=42,
        help="random seed for data order, dropout and new weights",
        value="N",
        range=SEED,
    ),
    Flag(name="use_cpu", type=bool, default=False, help="run on the CPU even if there is a GPU"),
)
_LORA = (
    Flag(name="lora_rank", type=int, default=8, help="rank of the LoRA matrices", value="N", range=AT_LEAST_1),
    Flag(
        name="lora_alpha",
        type=int,
        help="scale of the LoRA matrices; unless given, 2 x --lora_rank",
        value="N",
        range=AT_LEAST_1,
    ),
    Flag(name="lora_dropout", type=float, default=0.0, help="dropout before the LoRA matrices", value="X", range=SHARE),
    Flag(
        name="lora_target", default="all", help="modules that LoRA is added to; all: every linear layer", value="NAMES"
    ),
)
_OUTPUT = (
    Flag(name="output_dir", help="folder for weights, logs, metrics and predictions", value="DIR"),
    Flag(name="overwrite_output_dir", type=bool, default=False, help="start over in a folder that has an earlier run"),
    Flag(
        name="logging_steps", type=float, default=500.0, help="log the loss every N steps", value="N", range=AT_LEAST_0
    ),
    Flag(
        name="save_steps",
        type=float,
        default=500.0,
        help="save a checkpoint every N steps",
        value="N",
        range=AT_LEAST_0,
    ),
    Flag(
        name="save_total_limit",
        type=int,
        help="keep only the newest N checkpoints, and the best one if it is needed",
        value="N",
        range=AT_LEAST_0,
    ),
    Flag(name="eval_strategy", default="no", help="evaluate during training: no, steps or epoch", value="WHEN"),
    Flag(name="plot_loss", type=bool, default=False, help="plot the loss to training_loss.png"),
)
_PREDICTION = (
    Flag(
        name="do_predict",
        type=bool,
        default=False,
        help="rank the options: predictions.jsonl, submission.csv, MAP@3",
    ),
    Flag(
        name="predict_with_generate",
        type=bool,
        default=False,
        help="also generate text; stage sft turns it on by itself",
    ),
    Flag(
        name="max_new_tokens",
        type=int,
        default=1024,
        help="maximum number of tokens to generate; a letter needs few",
        value="N",
        range=Range(low=1, special=(0, -1)),
    ),
    Flag(
        name="do_sample",
        type=bool,
        default=True,
        help="sample the generated text; False: the most likely tokens",
        value="BOOL",
    ),
    Flag(
        name="per_device_eval_batch_size",
        type=int,
        default=8,
        help="batch size on each device",
        value="N",
        range=AT_LEAST_1,
    ),
)
# Read before upstream is imported, and too rare for --help.
_OTHER = (
    Flag(
        name="label_smoothing_factor",
        type=float,
        default=0.0,
        range=SHARE,
        help="label smoothing, for the losses that support it",
        field="label_smoothing",
        value="X",
    ),
    Flag(name="quantization_method", default="bnb", help="what quantises the base model: bnb, hqq, eetq", value="NAME"),
    Flag(name="use_dora", type=bool, default=False, help="LoRA with magnitudes of its own (DoRA)"),
    Flag(
        name="pissa_init", type=bool, default=False, help="start LoRA with a part of the base model's weights (PiSSA)"
    ),
    Flag(
        name="pissa_convert",
        type=bool,
        default=False,
        help="also save PiSSA's adapter as one of the unchanged base model",
        conflicts=(Conflict("use_dora", "True", f"the converted adapter would be another model; {_LEAVE_OUT}"),),
    ),
    Flag(name="shift_attn", type=bool, default=False, help="shifted sparse attention (LongLoRA)"),
    Flag(name="create_new_adapter", type=bool, default=False, help="train a new adapter on top of the given ones"),
    Flag(name="push_to_hub", type=bool, default=False, help="push the result to the hub"),
    Flag(name="resume_from_checkpoint", help="the checkpoint to resume from", value="DIR", bare="true"),
    Flag(name="load_best_model_at_end", type=bool, default=False, help="end with the best checkpoint"),
    Flag(name="metric_for_best_model", help="metric that the best checkpoint is chosen by", value="NAME"),
    Flag(name="greater_is_better", type=bool, help="whether a larger value of that metric is better", value="BOOL"),
    Flag(
        name="early_stopping_steps",
        type=int,
        help="stop after N evaluations without a gain",
        value="N",
        range=AT_LEAST_1,
    ),
    Flag(name="eval_on_each_dataset", type=bool, default=False, help="evaluate each data set separately", field="each"),
    Flag(name="model_revision", default="main", help="version of the model on the hub", value="NAME"),
    Flag(name="hf_hub_token", help="token of the hub", value="TOKEN"),
    Flag(name="cache_dir", help="folder for downloads", value="DIR"),
    Flag(
        name="use_unsloth",
        type=bool,
        default=False,
        help="train with unsloth",
        conflicts=_not_in_mcq(f"it replaces the attention that the stage needs; {_LEAVE_OUT}"),
    ),
    Flag(
        name="auto_find_batch_size",
        type=bool,
        default=False,
        help="halve the batch size when memory runs out",
        conflicts=_not_in_mcq(f"set a batch size, or --mcq_tokens_per_batch; {_LEAVE_OUT}"),
    ),
    Flag(
        name="dataloader_drop_last",
        type=bool,
        default=False,
        help="leave out the last, smaller batch",
        conflicts=_not_in_mcq(f"every question counts once an epoch; {_LEAVE_OUT}"),
    ),
    Flag(
        name="disable_shuffling",
        type=bool,
        default=False,
        help="train in the order of the data",
        conflicts=_not_in_mcq(f"each epoch has an order of its own; {_LEAVE_OUT}"),
    ),
    Flag(
        name="train_sampling_strategy",
        default="random",
        help="the order of the training rows: random, sequential or group_by_length",
        value="NAME",
        conflicts=_not_in_mcq(
            "each epoch has a random order; leave it out, or pass --mcq_tokens_per_batch for batches of similar length",
            only="random",
        ),
    ),
    Flag(
        name="streaming",
        type=bool,
        default=False,
        help="read the data during training",
        conflicts=_not_in_mcq(f"questions are checked as a whole; {_LEAVE_OUT}"),
    ),
    Flag(
        name="tokenized_path",
        help="folder of tokenised data",
        value="DIR",
        conflicts=_not_in_mcq(f"the stage keeps no cache; {_LEAVE_OUT}"),
    ),
    Flag(
        name="packing",
        type=bool,
        help="pack several rows into one",
        value="BOOL",
        conflicts=_not_in_mcq(f"shared_prefix packs the options of a question already; {_LEAVE_OUT}"),
    ),
    Flag(
        name="neat_packing",
        type=bool,
        default=False,
        help="several rows in one, which do not see each other",
        value="BOOL",
        conflicts=_not_in_mcq(f"shared_prefix packs the options of a question already; {_LEAVE_OUT}"),
    ),
    Flag(
        name="mix_strategy",
        default="concat",
        help="how data sets are mixed",
        value="NAME",
        conflicts=_not_in_mcq("it takes concat", only="concat"),
    ),
)
HIDDEN = "Less common"  # the group that --help leaves out
UPSTREAM_GROUPS: dict[str, tuple[Flag, ...]] = {
    "Model": _MODEL,
    "Data": _DATA,
    "Training": _TRAINING,
    "LoRA": _LORA,
    "Output": _OUTPUT,
    "Prediction": _PREDICTION,
    HIDDEN: (*_OTHER, *NUMBERS),
}
