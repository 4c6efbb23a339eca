"""Whether the weights that a command is to use are those that a training saved."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from llmtuner.data.trained import TrainedQuestions
from llmtuner.errors import UserError
from llmtuner.runs.checkpoints import checkpoint_at
from llmtuner.runs.lock import was_training
from llmtuner.runs.manifest import (
    CHECKPOINT_MANIFEST,
    MERGED_TRAINING,
    Manifest,
    digest_files,
    file_defect,
    manifest_or_merged,
    write_manifest,
)
from llmtuner.runs.trained import TRAINED, write_trained
from llmtuner.runs.versions import installed_versions
from llmtuner.runs.weights import files_of_model, weight_files

logger = logging.getLogger("llmtuner.runs")
_OF_MODEL = ("adapter_config.json", "config.json", "mcq_config.json", "tokenizer.json", "tokenizer_config.json")


def require_intact(folder: Path, flag: str = "") -> tuple[str, ...]:
    """Refuse weights that are damaged, or that an interrupted training left.

    Args:
        flag: names the folder in messages.

    Returns:
        a line for each other file that was changed since: configurations may be edited

    Raises:
        UserError: a weight file is not the one that was saved, or the training did not end.
    """
    place = f"{flag} {folder}".strip()
    manifest = manifest_or_merged(folder)
    if manifest is None:
        if weight_files(folder) and (was_training(folder) or _is_partial_checkpoint(folder)):
            raise UserError(
                f"{place}: its training was interrupted before these weights were complete; repeat its "
                "command, or pass a complete checkpoint-N folder"
            )
        return ()
    for name, digest in manifest.files.items():
        defect = file_defect(folder, name, digest) if name.endswith(".safetensors") else ""
        if defect:
            raise UserError(f"{place}: {defect}; copy the folder again, or make it anew")
    others = {name: manifest.files[name] for name in (*_OF_MODEL, TRAINED) if name in manifest.files}
    edited = [name for name, digest in others.items() if file_defect(folder, name, digest)]
    counts = "; which scored questions were trained on is not surely known"
    return tuple(f"{folder / name}: not the file that was saved{counts if name == TRAINED else ''}" for name in edited)


def warn_unless_intact(folder: Path) -> None:
    """As `require_intact`; the lines are logged.

    Raises:
        UserError: as `require_intact`.
    """
    for line in require_intact(folder):
        logger.warning(line)


def write_training(training: Manifest | None, trained: TrainedQuestions | None, folder: Path) -> None:
    """Write the records of a model that was merged or saved anew: its training, and digests of its own files.

    Args:
        training: the manifest of the training; None if it had none, and then only the files are recorded.
        trained: the questions that the model was trained on; None if they are not known.

    Raises:
        OSError: a file cannot be read or written.
    """
    names = files_of_model(folder)
    names += [] if trained is None else [write_trained(trained, folder).name]
    if training is None:
        training = Manifest(stage="mcq", step=0, max_steps=0, epoch=0.0, versions=installed_versions())
    whole = replace(training, files=digest_files(folder, names), adapters=(), retrieve=None)
    write_manifest(whole, folder / MERGED_TRAINING)


def _is_partial_checkpoint(folder: Path) -> bool:
    """Whether a folder is a checkpoint of a training with manifests, without its own."""
    checkpoint = checkpoint_at(folder)
    siblings = folder.parent.glob(f"checkpoint-*/{CHECKPOINT_MANIFEST}")
    return bool(checkpoint.step) and (was_training(folder.parent) or any(siblings))
