"""`--help`: the flags of every day in groups, as data; `--help_all` has upstream's full list."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from llmtuner.mcq.loss_terms import LOSS_NAMES
from llmtuner.mcq.settings import HEAD_LAYOUTS

_WIDTH = 110
_INDENT = 35


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag; `default` is upstream's and checked by a test, None where there is none or the meaning says it."""

    name: str
    meaning: str
    default: str | None = None
    value: str = ""  # what stands for the value; nothing for yes/no flags


@dataclass(frozen=True, slots=True)
class Group:
    """Flags under one heading; `ours` are those that upstream does not have."""

    title: str
    flags: tuple[Flag, ...]
    ours: bool = False


GROUPS = (
    Group(
        "This project's own",
        (
            Flag("profile", "defaults of that summer for whatever is not given", value="2023"),
            Flag("mcq_head", "of stage mcq: what scores an option; names are below", "linear", "NAME"),
            Flag("mcq_layout", "shared_prefix, per_option or joint; by the kind of model", value="NAME"),
            Flag("mcq_pooling", "auto, last, first, mean or option: which states are scored", value="NAME"),
            Flag("mcq_loss", "NAME or NAME:WEIGHT+NAME:WEIGHT; names are below", "cross_entropy", "LOSS"),
            Flag("mcq_loss_warmup_ratio", "share of the steps that begin with cross_entropy", value="X"),
            Flag("mcq_rdrop_alpha", "weight of R-Drop: two passes under dropout should agree", value="X"),
            Flag("mcq_dropout", "of the whole model in training; its own unless given", value="X"),
            Flag("mcq_duma_preset", "of duma and cduma: bottleneck (default), or paper", value="NAME"),
            Flag("mcq_duma_width", "of the bottleneck; 512 at most unless given", value="N"),
            Flag("mcq_duma_heads", "of their attention", value="N"),
            Flag("mcq_duma_layers", "how often both directions are run; 1 unless given", value="N"),
            Flag("mcq_duma_share", "the same attention weights for both directions; true unless given", value="BOOL"),
            Flag("mcq_duma_passage", "what an option is read against: context_question or context", value="NAME"),
            Flag("head_learning_rate", "of the head; learning_rate unless given", value="X"),
            Flag("mcq_tokens_per_batch", "batches by padded tokens, in place of a batch size", value="N"),
            Flag("mcq_shuffle_options", "permute the options of joint prompts in training"),
            Flag("mcq_drop_long", "train without questions that exceed cutoff_len, rather than stop"),
            Flag("help", "this page"),
            Flag("help_all", "every flag, upstream's and ours"),
            Flag("version", "versions of this project and of the packages it runs on"),
            Flag("traceback", "also show where a user error was raised"),
        ),
        ours=True,
    ),
    Group(
        "Model",
        (
            Flag("model_name_or_path", "folder of the base model, or its name on the hub", value="MODEL"),
            Flag("adapter_name_or_path", "what LoRA training left: to predict with it or to train it on", value="DIR"),
            Flag("template", "form of the prompt: llama2, mistral, qwen, default, ...", value="NAME"),
            Flag("quantization_bit", "load the base model in 4 or 8 bits (needs bitsandbytes)", value="4|8"),
            Flag("trust_remote_code", "run code that comes with the model", "False"),
        ),
    ),
    Group(
        "Data",
        (
            Flag("dataset", "names or paths of CSV, JSONL, JSON, Parquet files, with commas between", value="NAMES"),
            Flag("eval_dataset", "the same for evaluation and prediction", value="NAMES"),
            Flag("dataset_dir", "folder with dataset_info.json; the project's data/ unless given", value="DIR"),
            Flag("val_size", "hold out a share, or a number above 1, by question", "0", "SHARE"),
            Flag("cutoff_len", "tokens a question; only the end of its context is cut", "2048", "N"),
            Flag("max_samples", "use only the first so many rows of each data set", value="N"),
            Flag("overwrite_cache", "tokenise again rather than use the cache", "False"),
        ),
    ),
    Group(
        "Training",
        (
            Flag("stage", "sft: write the letter; mcq: a classifier over the options", "sft", "NAME"),
            Flag("do_train", "train", "False"),
            Flag("do_eval", "compute the loss on the evaluation data", "False"),
            Flag("finetuning_type", "lora, freeze or full", "lora", "TYPE"),
            Flag("per_device_train_batch_size", "rows in a step on each device", "8", "N"),
            Flag("gradient_accumulation_steps", "steps before the weights change", "1", "N"),
            Flag("learning_rate", "peak learning rate", "5e-5", "X"),
            Flag("lr_scheduler_type", "its course: linear, cosine, constant, ...", "linear", "NAME"),
            Flag("warmup_steps", "steps of warm-up; below 1 a share of all steps", "0", "N"),
            Flag("num_train_epochs", "passes over the data", "3.0", "X"),
            Flag("max_steps", "stop after so many steps; -1: by epochs", "-1", "N"),
            Flag("fp16", "mixed precision for older GPUs", "False"),
            Flag("bf16", "mixed precision for Ampere and newer", "False"),
            Flag("seed", "of the order, dropout and new weights", "42", "N"),
            Flag("use_cpu", "train on the CPU although there is a GPU", "False"),
        ),
    ),
    Group(
        "LoRA",
        (
            Flag("lora_rank", "rank of the added matrices", "8", "N"),
            Flag("lora_alpha", "their scale; 2 x lora_rank unless given", value="N"),
            Flag("lora_dropout", "dropout in front of them", "0.0", "X"),
            Flag("lora_target", "modules that get them; all: every linear one", "all", "NAMES"),
        ),
    ),
    Group(
        "Output",
        (
            Flag("output_dir", "folder for weights, logs, metrics and predictions", value="DIR"),
            Flag("overwrite_output_dir", "train afresh where an earlier run lies", "False"),
            Flag("logging_steps", "log the loss every so many steps", "500", "N"),
            Flag("save_steps", "keep a checkpoint every so many steps", "500", "N"),
            Flag("save_total_limit", "keep only the newest so many checkpoints", value="N"),
            Flag("eval_strategy", "evaluate during training: no, steps or epoch", "no", "WHEN"),
            Flag("plot_loss", "draw the loss as training_loss.png", "False"),
        ),
    ),
    Group(
        "Prediction",
        (
            Flag("do_predict", "rank the options: predictions.jsonl, submission.csv, MAP@3", "False"),
            Flag("predict_with_generate", "generate text; set by itself in stage sft", "False"),
            Flag("max_new_tokens", "tokens to write at most; a letter needs few", "1024", "N"),
            Flag("do_sample", "draw the text; False takes the likeliest tokens", "True", "BOOL"),
            Flag("per_device_eval_batch_size", "rows in a step on each device", "8", "N"),
        ),
    ),
)

_USAGE = """\
usage: python src/train_bash.py --flag value ...
       python src/train_bash.py CONFIG.yaml [key=value ...] [--flag value ...]     (.yml and .json, too)

Fine-tunes a language model on multiple-choice questions and ranks their options."""

_NAMES = "\n".join(
    textwrap.fill(f"{title}: {', '.join(names)}", _WIDTH, subsequent_indent=" " * 8)
    for title, names in (("Heads", (*HEAD_LAYOUTS,)), ("Losses", LOSS_NAMES))
)

_EXAMPLES = """\
Scripts (the .sh ones take every value from the environment: MODEL=DIR bash scripts/step1_sft.sh):
  scripts/step1_sft.sh        train on the questions
  scripts/step1_predict.sh    predict, score, write the submission
  scripts/step2_mcq.sh        train a classifier over the options (--stage mcq)
  scripts/step2_predict.sh    the same with it
  scripts/step3_duma.sh       the classifier with co-attention (step3_cduma.sh: and options compared)
  scripts/step3_losses.sh     the classifier with a loss that follows MAP@3
  scripts/make_tiny_llama.py  a small random model, to try everything on a CPU

Examples:
  python src/train_bash.py --stage sft --model_name_or_path MODEL --do_train \\
      --dataset llmscience --template llama2 --finetuning_type lora --output_dir sft_checkpoint \\
      --overwrite_cache --per_device_train_batch_size 1 --gradient_accumulation_steps 4 \\
      --lr_scheduler_type cosine --logging_steps 10 --save_steps 1000 --learning_rate 5e-5 \\
      --num_train_epochs 3.0 --plot_loss --fp16
  python src/train_bash.py --stage sft --model_name_or_path MODEL --do_predict \\
      --adapter_name_or_path sft_checkpoint --eval_dataset questions.csv --template llama2 \\
      --output_dir sft_predict --max_new_tokens 8
  python src/train_bash.py --stage mcq --model_name_or_path MODEL --do_train --dataset llmscience \\
      --template llama2 --finetuning_type lora --output_dir mcq_checkpoint --bf16
  python src/train_bash.py --stage mcq --model_name_or_path MODEL --do_predict \\
      --adapter_name_or_path mcq_checkpoint --eval_dataset questions.csv --output_dir mcq_predict --bf16

Flags of 2023 (--checkpoint_dir, --max_source_length, ...) are translated, with a note for each.
--help_all for upstream's full list."""


def help_text() -> str:
    """The page that `--help` prints."""
    return "\n\n".join([_USAGE, *(_group(group) for group in GROUPS), _NAMES, _EXAMPLES])


def _group(group: Group) -> str:
    return "\n".join([f"{group.title}:", *(_line(flag) for flag in group.flags)])


def _line(flag: Flag) -> str:
    left = f"  --{flag.name}" + (f" {flag.value}" if flag.value else "")
    default = flag.default if flag.value else {"True": "on", "False": "off"}.get(flag.default or "")
    meaning = flag.meaning + (f" (default: {default})" if default is not None else "")
    gap = " " * (_INDENT - len(left)) if len(left) < _INDENT - 1 else "\n" + " " * _INDENT
    return left + gap + textwrap.fill(meaning, _WIDTH - _INDENT, subsequent_indent=" " * _INDENT)
