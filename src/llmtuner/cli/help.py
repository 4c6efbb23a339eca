"""`--help`: the everyday flags in groups. `--help_all` is the parser's own page, with every flag."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping

from llmtuner.spec.entry import Entry
from llmtuner.spec.flag import Flag
from llmtuner.spec.flags import GROUPS
from llmtuner.spec.heads import HEADS
from llmtuner.spec.layouts import LAYOUTS
from llmtuner.spec.losses import LOSSES
from llmtuner.spec.metrics import METRICS
from llmtuner.spec.norms import NORMS
from llmtuner.spec.poolings import POOLINGS
from llmtuner.spec.prompts import PROMPTS, NamedPrompt
from llmtuner.spec.upstream_flags import HIDDEN

_WIDTH = 110
_INDENT = 35

_USAGE = """\
usage: python src/train_bash.py --flag value ...
       python src/train_bash.py CONFIG.yaml [key=value ...] [--flag value ...]     (or .yml, .json)

Fine-tunes a language model on multiple-choice questions and ranks their options."""

_EXAMPLES = """\
Scripts (the .sh ones take every value from the environment: MODEL=DIR bash scripts/step1_sft.sh):
  scripts/step1_sft.sh        train with LoRA to write the answer's letter
  scripts/step1_predict.sh    predict, score, write the submission
  scripts/step2_mcq.sh        train a classifier over the options (--stage mcq)
  scripts/step2_predict.sh    predict, score and write the submission with that classifier
  scripts/step3_duma.sh       the classifier with co-attention (step3_cduma.sh also compares the options)
  scripts/step3_losses.sh     the classifier with a loss that follows MAP@3
  scripts/make_tiny_llama.py  a small random model, to try all commands on a CPU

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

Commands of 2023: a flag that no longer exists (--checkpoint_dir, --max_source_length, ...) is either translated,
with a notice, or refused with the reason.
--help_all lists every flag of LLaMA-Factory (upstream), including those that are left out above."""


def help_text() -> str:
    """The page that `--help` prints."""
    groups = [_group(title, flags) for title, flags in GROUPS.items() if title != HIDDEN]
    tables: tuple[tuple[str, Mapping[str, Entry | NamedPrompt]], ...] = (
        ("Heads", HEADS),
        ("Layouts", LAYOUTS),
        ("Poolings", POOLINGS),
        ("Likelihood norms", NORMS),
        ("Prompts", PROMPTS),
        ("Losses", LOSSES),
        ("Metrics", METRICS),
    )
    return "\n\n".join([_USAGE, *groups, *(_table(title, entries) for title, entries in tables), _EXAMPLES])


def _group(title: str, flags: Iterable[Flag]) -> str:
    return "\n".join([f"{title}:", *(_line(flag) for flag in flags)])


def _table(title: str, entries: Mapping[str, Entry | NamedPrompt]) -> str:
    return "\n".join([f"{title}:", *(_columns(f"  {entry.name}", entry.help) for entry in entries.values())])


def _line(flag: Flag) -> str:
    left = f"  --{flag.name}" + (f" {flag.value}" if flag.value else "")
    return _columns(left, flag.help + default_text(flag))


def default_text(flag: Flag) -> str:
    """` (default: X)` with the leading space; empty if there is no default."""
    if flag.default is None:
        return ""
    if flag.type is bool and not flag.value:
        return f" (default: {'on' if flag.default else 'off'})"
    return f" (default: {f'{flag.default:g}' if flag.type is float else flag.default})"


def _columns(left: str, text: str) -> str:
    gap = " " * (_INDENT - len(left)) if len(left) < _INDENT - 1 else "\n" + " " * _INDENT
    return left + gap + textwrap.fill(text, _WIDTH - _INDENT, subsequent_indent=" " * _INDENT)
