"""Everything that can be known before a model is loaded: paths, data, an earlier run in the same folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from llmtuner.cli.earlier_run import settle_earlier_run
from llmtuner.cli.flags import Flags
from llmtuner.cli.preflight_mcq import check_mcq
from llmtuner.cli.process import say
from llmtuner.data.load import read_questions
from llmtuner.data.problems import Problem, render_problems
from llmtuner.data.registry import find_source, is_local
from llmtuner.errors import UserError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
STAGES = ("sft", "mcq")  # the stages that know what a question is
OTHER_STAGES = ("pt", "rm", "ppo", "dpo", "kto")
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0"}


def preflight(flags: Flags) -> None:
    """Check what the flags point to; say what is worth a warning; keep the network out where nothing needs it.

    Raises:
        UserError: the first thing that would make the run fail.
    """
    if not any(flags.is_true(name) for name in ("do_train", "do_predict", "do_eval")):
        raise UserError("nothing to do: add --do_train, --do_predict or --do_eval")
    _check_model(flags.get("model_name_or_path"))
    adapters = _names(flags.get("adapter_name_or_path"))
    for adapter in adapters:
        _check_adapter(adapter)
    local_data = _check_data(flags)
    model = flags.get("model_name_or_path")
    wants_network = flags.is_true("push_to_hub") or not local_data
    if model and all(Path(path).is_dir() for path in (model, *adapters)) and not wants_network:
        for name, value in OFFLINE.items():
            os.environ.setdefault(name, value)
    if flags.is_true("do_train"):
        settle_earlier_run(flags)
    check_mcq(flags, adapters)
    _check_output_dir(flags.get("output_dir"))


def _names(value: str | None) -> list[str]:
    return [name.strip() for name in (value or "").split(",") if name.strip()]


def _check_model(model: str | None) -> None:
    if model is None:
        raise UserError("--model_name_or_path is missing: the folder of a model, or its name on the hub")
    folder = Path(model)
    if not folder.exists():
        if _is_meant_as_path(model):
            raise UserError(f"--model_name_or_path {model}: no such folder")
        return  # a name on the hub
    if not folder.is_dir():
        raise UserError(f"--model_name_or_path {model}: expected a folder with config.json, found a file")
    if not (folder / "config.json").is_file():
        hint = ""
        if (folder / "adapter_config.json").is_file():
            hint = "; this is an adapter: pass it as --adapter_name_or_path, and its base model here"
        raise UserError(f"--model_name_or_path {model}: no config.json in it{hint}")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise UserError(f"--model_name_or_path {model}: no tokenizer in it (one of {', '.join(TOKENIZER_FILES)})")
    _check_weights(folder, "--model_name_or_path")


def _is_meant_as_path(name: str) -> bool:
    """Whether a name that is no folder cannot be a hub's: another form, a folder that is half there, or no network."""
    offline = os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on")
    half_there = "/" in name and Path(name).parent.is_dir()
    return offline or half_there or name.startswith((".", "/", "~")) or name.count("/") > 1


def _check_adapter(adapter: str) -> None:
    folder = Path(adapter)
    if not folder.exists():
        if "/" in adapter and not _is_meant_as_path(adapter):
            return  # a name on the hub
        raise UserError(f"--adapter_name_or_path {adapter}: no such folder; it is the --output_dir of the training")
    if not (folder / "adapter_config.json").is_file():
        raise UserError(
            f"--adapter_name_or_path {adapter}: no adapter_config.json in it; expected the --output_dir of a finished "
            "LoRA training, or one of its checkpoint folders"
        )
    _check_weights(folder, "--adapter_name_or_path")


def _check_weights(folder: Path, flag: str) -> None:
    """Weights are read from safetensors only: a pickle can run code when it is loaded."""
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for path in folder.glob("*.bin") if path.name != "training_args.bin")
    if pickles:
        raise UserError(
            f"{flag} {folder}: weights only as pickle ({pickles[0]}), which is not loaded; convert it once with: "
            f"python scripts/to_safetensors.py {folder}"
        )
    raise UserError(f"{flag} {folder}: no weights in it (*.safetensors)")


def _check_data(flags: Flags) -> bool:
    """Read and check all multiple-choice files; return whether every data set is local."""
    dataset_dir = flags.get("dataset_dir") or "data"
    local = True
    warnings: dict[tuple[str, int, str], Problem] = {}
    for flag in ("dataset", "eval_dataset"):
        purpose = "train" if flag == "dataset" and flags.is_true("do_train") else "predict"
        for name in _names(flags.get(flag)):
            source = find_source(name, dataset_dir)
            local = local and is_local(name, dataset_dir)
            if source is not None and flags.get("stage") in OTHER_STAGES:
                raise UserError(
                    f"data set {name!r} has multiple-choice questions, which --stage {flags.get('stage')} cannot use; "
                    f"they go with --stage {' or '.join(STAGES)}"
                )
            for file in source.files if source else ():
                found = read_questions(file, purpose=purpose, dataset=name)  # type: ignore[arg-type]
                warnings |= {(p.file, p.line, p.what): p for p in found.warnings}
    _warn(warnings.values())
    return local


def _warn(problems: Iterable[Problem]) -> None:
    problems = list(problems)
    if problems:
        say([render_problems(problems)], "warning")


def _check_output_dir(output_dir: str | None) -> None:
    """Try to write where the folder is or would be made: permissions, read-only systems, files in the way.

    The folder itself is not made yet: a mistake that is found later leaves nothing behind.
    """
    if output_dir is None:
        raise UserError("--output_dir is missing: the folder for the results")
    folder = Path(output_dir).absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise UserError(f"--output_dir {output_dir}: cannot write to {folder}: {error.strerror or error}") from error
