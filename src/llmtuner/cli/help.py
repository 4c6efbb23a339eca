"""The help that answers at once: what this project adds, and upstream's everyday flags."""

from __future__ import annotations

USAGE = """\
usage: python src/train_bash.py --stage sft --model_name_or_path MODEL --dataset NAMES --output_dir DIR [flags]
       python src/train_bash.py CONFIG.yaml [key=value ...]

Fine-tunes an open LLM on multiple-choice exams with LLaMA-Factory and scores it with MAP@3.

STEP1, the notes' command:
  python src/train_bash.py --stage sft --model_name_or_path MODEL --do_train --dataset llmscience --template llama2 \\
      --finetuning_type lora --output_dir sft_checkpoint --overwrite_cache --per_device_train_batch_size 1 \\
      --gradient_accumulation_steps 4 --lr_scheduler_type cosine --logging_steps 10 --save_steps 1000 \\
      --learning_rate 5e-5 --num_train_epochs 3.0 --plot_loss --fp16
STEP1, scored predictions:
  python src/train_bash.py --stage sft --model_name_or_path MODEL --adapter_name_or_path sft_checkpoint --do_predict \\
      --eval_dataset llmscience_official --template llama2 --finetuning_type lora --output_dir sft_predict \\
      --predict_with_generate
"""

# (heading, [(flag with its value, default or "", meaning)])
GROUPS: list[tuple[str, list[tuple[str, str, str]]]] = [
    (
        "this project's",
        [
            ("--profile 2023", "", "defaults of the summer of 2023 (LoRA on q and v, alpha 32, dropout 0.1, ...)"),
            ("--mcq_drop_long", "", "train without questions that exceed --cutoff_len, with a count"),
            ("--traceback", "", "show where a user error was raised"),
            ("--help, --help_all, --version", "", "this page; every flag of upstream; versions"),
        ],
    ),
    (
        "model",
        [
            ("--model_name_or_path MODEL", "", "folder of the base model, or its name on the hub"),
            ("--adapter_name_or_path DIR", "", "a trained LoRA adapter"),
            ("--template NAME", "", "chat template: llama2, mistral, qwen, llama3, default, ..."),
            ("--quantization_bit 4|8", "", "QLoRA (needs bitsandbytes)"),
            ("--fp16, --bf16", "", "mixed precision; fp16 on older GPUs (T4)"),
        ],
    ),
    (
        "data",
        [
            ("--dataset NAMES", "", "names or paths of CSV, JSONL, JSON, Parquet files, with commas between"),
            ("--eval_dataset NAMES", "", "the same for evaluation and prediction"),
            ("--val_size N", "0.0", "hold out a share, or a number above 1, by question"),
            ("--cutoff_len N", "2048", "tokens a question; only the end of its context is cut"),
            ("--max_samples N", "", "the first N rows of each data set"),
        ],
    ),
    (
        "training",
        [
            ("--stage sft", "sft", "pt, sft, rm, ppo, dpo, kto as upstream"),
            ("--do_train, --do_eval, --do_predict", "", "what to do"),
            ("--finetuning_type lora|freeze|full", "lora", "what is trained"),
            ("--learning_rate X", "5e-05", "peak learning rate"),
            ("--num_train_epochs X", "3.0", "passes over the data; --max_steps N instead"),
            ("--per_device_train_batch_size N", "8", "questions a step and device"),
            ("--gradient_accumulation_steps N", "1", "steps before the weights move"),
            ("--lr_scheduler_type NAME", "linear", "cosine, constant, ..."),
            ("--warmup_steps X", "0", "steps, or a share below 1"),
            ("--lora_rank N, --lora_alpha N, --lora_dropout X, --lora_target NAMES", "", "the adapter's shape"),
            ("--seed N", "42", "order, dropout, fresh weights"),
        ],
    ),
    (
        "output",
        [
            ("--output_dir DIR", "", "results; an unfinished run in it goes on, a finished one is protected"),
            ("--overwrite_output_dir", "", "train afresh in a folder that holds a run"),
            ("--save_steps N, --logging_steps N", "", "how often"),
            ("--plot_loss", "", "draw the loss"),
        ],
    ),
    (
        "prediction",
        [
            ("--predict_with_generate", "", "generate text (set by itself with --do_predict in stage sft)"),
            ("--max_new_tokens N", "1024", "a letter needs few: 8"),
            ("--do_sample BOOL", "True", "False takes the likeliest tokens"),
            ("--per_device_eval_batch_size N", "8", "questions a pass"),
        ],
    ),
]

FOOTER = """\
scripts/step1_sft.sh and scripts/step1_predict.sh hold these commands with every value from the environment.
Names of 2023 (--checkpoint_dir, --dev_ratio, ...) are understood. --help_all lists every flag of upstream.
"""


def help_text() -> str:
    """The whole page."""
    lines = [USAGE]
    for heading, flags in GROUPS:
        lines.append(f"{heading}:")
        for flag, default, meaning in flags:
            said = f"{meaning} (default {default})" if default else meaning
            lines.append(f"  {flag:36}{said}" if len(flag) < 36 else f"  {flag}\n{'':38}{said}")
        lines.append("")
    return "\n".join([*lines, FOOTER])
