"""A training and the prediction with what it trained, as the job of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from llmtuner.cli.command import config_file, read_words
from llmtuner.cli.words import Words
from llmtuner.errors import UserError
from llmtuner.files import split_paths
from llmtuner.runs.checkpoints import find_checkpoints, finished_run
from llmtuner.spec.flags import FLAGS
from llmtuner.spec.results import results_of
from llmtuner.spec.resume import is_secret
from llmtuner.spec.upstream_flags import ADAPTER_TYPES
from llmtuner.studies.jobs import Command, Job

_OF_PREDICTIONS = ("do_predict", "mcq_option_orders")  # a training without a prediction refuses the second


def job_of(
    name: str,
    words: Words,
    folder: Path,
    *,
    not_in_training: tuple[str, ...] = (),
    not_in_prediction: tuple[str, ...] = (),
) -> Job:
    """Train what is not trained yet, then predict if the flags say so; the logs are beside the folder.

    Args:
        words: all flags, with their --output_dir.
        folder: that output folder.
        not_in_training, not_in_prediction: flags of the other step alone.
    """
    commands = []
    of_training = without(training_alone(words), *not_in_training)
    if words.is_true("do_train") and not _is_trained(of_training, folder):
        training = _command(folder, "train", _training(of_training, folder))
        commands.append(replace(training, is_done=partial(_is_trained, of_training, folder)))
    if words.is_true("do_predict"):
        commands.append(_command(folder, "predict", _prediction(without(words, *not_in_prediction), folder)))
    elif not words.is_true("do_train"):
        commands.append(_command(folder, "evaluate", words))
    return Job(name, commands)


def training_alone(words: Words) -> Words:
    """The flags of a training that a command of its own predicts with later."""
    return without(words, *_OF_PREDICTIONS) if words.is_true("do_predict") else words


def _training(words: Words, folder: Path) -> Words:
    """The flags of a training; afresh where its evaluation is missing, and no checkpoint is left to make up for it."""
    finished = finished_run(folder)[0]
    if finished is not None and not any(each.step == finished.step for each in find_checkpoints(folder)):
        words.set("overwrite_output_dir", "true")
    return words


def _is_trained(words: Words, folder: Path) -> bool:
    """Whether a training ended. One that was stopped in its evaluation did not: its command makes up for that alone."""
    settings: dict[str, Any] = {name: name in words for name in ("eval_dataset", "val_size")}
    settings |= {"do_eval": words.is_true("do_eval"), "eval_strategy": words.get("eval_strategy")}
    return finished_run(folder)[0] is not None and all((folder / name).is_file() for name in results_of(settings.get))


def _command(folder: Path, step: str, words: Words) -> Command:
    return Command(words.to_argv(), folder.with_name(f"{folder.name}.{step}.log"))


def flags_of(words: Sequence[str]) -> list[str]:
    """The words of a command as a manifest stores them: without secrets, and in place of a config file its flags,
    because it may change."""
    given = read_words(words)
    public = _public(given)
    return list(words) if config_file(words) is None and len(public) == len(given) else public.to_argv()


def _public(words: Words) -> Words:
    """A copy without secrets, which are neither stored nor compared: a token may be renewed."""
    return without(words, *filter(is_secret, words))


def differing_flags(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """The flags that two starts do not share: those of now, then those of before. Empty if only their order differs.

    Args:
        before: the flags in a manifest.

    Raises:
        UserError: a word belongs to no flag.
    """
    old, new = (_public(Words.from_argv([str(word) for word in each])) for each in (before, now))
    shared = [name for name in new if name in old and _said(new, name) == _said(old, name)]
    return [*without(new, *shared).to_argv(), *without(old, *shared).to_argv()]


def _said(words: Words, name: str) -> list[str]:
    """The words of a flag; a bare one is true, as a config file writes it."""
    return words.values(name) or ["true"]


def check_runs(words: Words) -> None:
    """Refuse a command that runs nothing.

    Raises:
        UserError: it is a dry run.
    """
    if "dry_run" in words:
        raise UserError("--dry_run is for a single run: pass it to src/train_bash.py with the flags of one of them")


def without(words: Words, *names: str) -> Words:
    """A copy without some flags."""
    return Words({name: words.values(name) for name in words if name not in names})


def _prediction(words: Words, folder: Path) -> Words:
    """The flags of the prediction with what was trained; of another prediction, the flags as they are."""
    if not words.is_true("do_train"):
        return words
    predicting = without(words, "do_train", "do_eval")
    if (words.get("finetuning_type") or FLAGS["finetuning_type"].default) not in ADAPTER_TYPES:
        predicting.set("model_name_or_path", str(folder))
        return predicting
    below = [] if words.get("stage") == "mcq" else _merged_below(words)
    predicting.set("adapter_name_or_path", ",".join([*below, str(folder)]))
    predicting.remove("create_new_adapter")
    return predicting


def _merged_below(words: Words) -> list[str]:
    """The adapters that stage sft merges into the model first; without a new one, it trains the last one further."""
    given = split_paths(words.get("adapter_name_or_path") or "")
    return given if words.is_true("create_new_adapter") else given[:-1]
