"""Adds our flags to upstream's, and turns upstream's complaints about arguments into user errors.

Upstream: `llamafactory.hparams.parser._TRAIN_ARGS` (a list of five dataclasses; 0.9.0 to 0.9.5) and the name
`get_train_args` in `llamafactory.train.tuner`. Replacing a class by a subclass makes our flags valid on the command
line, in YAML, JSON and dictionaries alike, and `isinstance` checks still hold. A folder of --adapter_name_or_path may
have commas in its name.
Can go when upstream lets an extension register arguments.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import field, make_dataclass
from typing import Any, Literal, NoReturn

from llmtuner.data.registry import PROJECT_DATA
from llmtuner.errors import UserError
from llmtuner.files import split_paths
from llmtuner.spec.flag import Flag
from llmtuner.spec.flags import own
from patches.seam import TESTED, Seam, SeamError

SEAM = Seam("llamafactory.train.tuner", "get_train_args", ("args",))
EXPECTED = ("ModelArguments", "DataArguments", "TrainingArguments", "FinetuningArguments", "GeneratingArguments")


def apply() -> None:
    """Put the subclasses into upstream's list and wrap its argument check."""
    from llamafactory.hparams import parser
    from llamafactory.hparams.data_args import DataArguments
    from llamafactory.hparams.finetuning_args import FinetuningArguments
    from llamafactory.hparams.model_args import ModelArguments

    names = tuple(cls.__name__ for cls in parser._TRAIN_ARGS)
    if names == EXPECTED and parser._TRAIN_ARGS[1] is DataArguments:
        parser._TRAIN_ARGS[0] = _with_split_paths(ModelArguments)
        parser._TRAIN_ARGS[1] = _with_flags(DataArguments, "data", [("dataset_dir", str, _DATASET_DIR)])
        parser._TRAIN_ARGS[3] = _with_flags(FinetuningArguments, "finetuning", [("stage", _STAGE, _STAGE_FIELD)])
    elif not issubclass(parser._TRAIN_ARGS[1], DataArguments):
        raise SeamError(f"hparams.parser._TRAIN_ARGS holds {names}; the tested {TESTED} has {EXPECTED}")
    SEAM.replace(_as_user_errors)


_STAGE = Literal["pt", "sft", "rm", "ppo", "dpo", "kto", "mcq"]
_STAGE_FIELD = field(
    default="sft", metadata={"help": "Which stage will be performed; mcq: a classifier over the options."}
)
_DATASET_DIR = field(
    default=str(PROJECT_DATA), metadata={"help": "Folder with dataset_info.json; default: the project's data/."}
)


def build_parser() -> Any:
    """The parser of training arguments as upstream builds it, including our flags.

    Unlike upstream it takes no abbreviations: `--lora_ran` is a typo, not `--lora_rank`.
    """
    from llamafactory.hparams import parser
    from transformers import HfArgumentParser

    return HfArgumentParser(parser._TRAIN_ARGS, allow_abbrev=False, prog="train_bash.py")


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """The given flags, converted by upstream's parser; the other flags keep its defaults.

    Raises:
        UserError: the first invalid value.
    """
    parser = build_parser()

    def refuse(message: str) -> NoReturn:
        raise UserError(message)

    parser.error = refuse
    given = {word.split("=", 1)[0] for word in argv}
    # `--no_do_sample` is a separate name that sets `do_sample`.
    names = [action.dest for flag, action in parser._option_string_actions.items() if flag in given]
    values = vars(parser.parse_args(list(argv)))
    return {name: values[name] for name in names}


def _with_flags(base: type, arguments: str, replaced: list[tuple[str, Any, Any]]) -> type:
    """An argument class of upstream, extended by our flags for it."""
    added = [
        (flag.name, flag.type | None if flag.default is None else flag.type, _field(flag)) for flag in own(arguments)
    ]
    return make_dataclass(base.__name__, [*replaced, *added], bases=(base,))


def _with_split_paths(base: type) -> type:
    """Upstream's class, which splits --adapter_name_or_path at every comma, also at one in a folder's name."""

    def __post_init__(self: Any) -> None:
        given = self.adapter_name_or_path
        base.__post_init__(self)  # type: ignore[attr-defined]
        if isinstance(given, str):
            self.adapter_name_or_path = split_paths(given)

    return make_dataclass(base.__name__, [], bases=(base,), namespace={"__post_init__": __post_init__})


def _field(flag: Flag) -> Any:
    return field(default=flag.default, metadata={"help": flag.help.replace("names below", "names: --help")})


def _check_template(name: str | None) -> None:
    """Check the template now: upstream looks it up only after the tokenizer is loaded."""
    from llamafactory.data.template import TEMPLATES

    if name is not None and name not in TEMPLATES:
        known = ", ".join(difflib.get_close_matches(name, TEMPLATES, n=3, cutoff=0.4) or ("llama2", "mistral", "qwen"))
        raise UserError(
            f"--template {name}: unknown chat template; choose from {len(TEMPLATES)} names, such as {known}"
        )


def _as_user_errors(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_train_args(args: Any = None) -> Any:
        try:
            parsed = original(args)
            _check_template(parsed[1].template)
            return parsed
        except (ValueError, ImportError) as error:  # ImportError: a flag needs a package that is not installed
            raise UserError(str(error)) from error

    return get_train_args
