"""Our flags beside upstream's own, and upstream's complaints about arguments as user errors.

Upstream: `llamafactory.hparams.parser._TRAIN_ARGS` (a list of five dataclasses; 0.9.0 to 0.9.5) and the name
`get_train_args` in `llamafactory.train.tuner`. Replacing a class by a subclass makes our flags known to flags, YAML,
JSON and dictionaries alike, and `isinstance` checks hold.
Can go when upstream lets an extension register arguments.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from llmtuner.data.registry import PROJECT_DATA
from llmtuner.errors import UserError
from patches.seam import TESTED, Seam, SeamError

SEAM = Seam("llamafactory.train.tuner", "get_train_args", ("args",))
EXPECTED = ("ModelArguments", "DataArguments", "TrainingArguments", "FinetuningArguments", "GeneratingArguments")


def apply() -> None:
    """Put the subclass into upstream's list and wrap its argument check."""
    from llamafactory.hparams import parser
    from llamafactory.hparams.data_args import DataArguments
    from llamafactory.hparams.finetuning_args import FinetuningArguments

    names = tuple(cls.__name__ for cls in parser._TRAIN_ARGS)
    if names == EXPECTED and parser._TRAIN_ARGS[1] is DataArguments:
        parser._TRAIN_ARGS[1] = _with_data_flags(DataArguments)
        parser._TRAIN_ARGS[3] = _with_mcq_flags(FinetuningArguments)
    elif not issubclass(parser._TRAIN_ARGS[1], DataArguments):
        raise SeamError(f"hparams.parser._TRAIN_ARGS holds {names}; the tested {TESTED} has {EXPECTED}")
    SEAM.replace(_as_user_errors)


def build_parser() -> Any:
    """The parser of training arguments as upstream builds it, our flags included.

    Unlike upstream it takes no abbreviations: `--lora_ran` is a typing error, not `--lora_rank`.
    """
    from llamafactory.hparams import parser
    from transformers import HfArgumentParser

    return HfArgumentParser(parser._TRAIN_ARGS, allow_abbrev=False, prog="train_bash.py")


def _with_data_flags(base: type) -> type:
    @dataclass
    class DataArguments(base):
        dataset_dir: str = field(
            default=str(PROJECT_DATA), metadata={"help": "Folder with dataset_info.json; default: the project's data/."}
        )
        mcq_drop_long: bool = field(
            default=False,
            metadata={
                "help": "Drop training questions that exceed cutoff_len even without their context, with a count, "
                "where the run would stop otherwise."
            },
        )

    return DataArguments


def _with_mcq_flags(base: type) -> type:
    @dataclass
    class FinetuningArguments(base):
        stage: Literal["pt", "sft", "rm", "ppo", "dpo", "kto", "mcq"] = field(
            default="sft", metadata={"help": "Which stage will be performed; mcq: a classifier over the options."}
        )
        mcq_head: str | None = _flag("linear (default), option_mean, duma, cduma or letter: what scores the options.")
        mcq_layout: str | None = _flag(
            "shared_prefix (default for causal models), per_option (default for encoders) or joint."
        )
        mcq_pooling: str | None = _flag("auto (default), last, first, mean or option: which states are scored.")
        mcq_loss: str | None = _flag(
            "NAME[:WEIGHT][+NAME[:WEIGHT]...], losses over a question's options: cross_entropy (default), binary, "
            "ranknet, lambda_map3, approx_map3, expected_map3, log_expected_map3, poly1 or topk_ce."
        )
        mcq_loss_warmup_ratio: float = field(
            default=0.0, metadata={"help": "Share of the steps that are trained with cross-entropy before mcq_loss."}
        )
        mcq_rdrop_alpha: float = field(
            default=0.0, metadata={"help": "Weight of R-Drop: two passes under dropout shall agree. 0: one pass."}
        )
        mcq_dropout: float | None = _flag("Dropout of the model in training, all of it; the model's own unless given.")
        mcq_duma_preset: str | None = _flag("bottleneck (default) or paper: the co-attention of duma and cduma.")
        mcq_duma_width: int | None = _flag("Width of the co-attention; 512, or the model's where it is narrower.")
        mcq_duma_heads: int | None = _flag("Attention heads of the co-attention; one for 64 of its width.")
        mcq_duma_layers: int | None = _flag("Layers of co-attention; 1.")
        mcq_duma_share: bool | None = _flag("Whether both directions share their weights; true.")
        mcq_duma_passage: str | None = _flag(
            "context_question (default): the option is read against both; context: question and option against it."
        )
        head_learning_rate: float | None = _flag("Learning rate of the head; learning_rate unless given.")
        mcq_tokens_per_batch: int | None = _flag("Padded tokens a batch, in place of a batch size.")
        mcq_shuffle_options: bool = field(
            default=False,
            metadata={"help": "Permute the options of joint prompts in training, by seed, epoch and question id."},
        )

    return FinetuningArguments


def _flag(meaning: str) -> Any:
    return field(default=None, metadata={"help": meaning})


def _check_template(name: str | None) -> None:
    """Upstream looks the template up only after the tokenizer is loaded."""
    from llamafactory.data.template import TEMPLATES

    if name is not None and name not in TEMPLATES:
        known = ", ".join(difflib.get_close_matches(name, TEMPLATES, n=3, cutoff=0.4) or ("llama2", "mistral", "qwen"))
        raise UserError(f"--template {name}: no such chat template; there are {len(TEMPLATES)}, among them {known}")


def _as_user_errors(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_train_args(args: Any = None) -> Any:
        try:
            parsed = original(args)
            _check_template(parsed[1].template)
            return parsed
        except (ValueError, ImportError) as error:  # ImportError: a flag asks for a package that is not installed
            raise UserError(str(error)) from error

    return get_train_args
