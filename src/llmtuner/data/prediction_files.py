"""The files of a prediction replace those of an earlier one together: a folder never holds a mix of two predictions.

predict_results.json goes first and comes last. A folder without it holds an unfinished prediction, whatever other files
it has, so a run that is killed between two renames leaves nothing that could be taken for a result.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmtuner.data.predictions import PREDICTIONS, SUBMISSION
from llmtuner.errors import UserError
from llmtuner.files import LOCK, sync_folder, write_synced
from llmtuner.spec.model_files import ALL_RESULTS, PREDICT_RESULTS

_OF_EVERY_ONE = (PREDICTIONS, SUBMISSION, "generated_predictions.jsonl")
OF_A_PREDICTION = (*_OF_EVERY_ONE, "blend.json", "cascade.json")
_STAGING = ".prediction"  # one name for all runs, so that the next one clears what a killed run left
_PREFIXES = ("predict_", "floor_", "mcq_")  # of a prediction's values in all_results.json


def check_out(out: Path, *, overwrite: bool, flag: str = "--out") -> None:
    """Refuse a file, and a folder that is not empty. A killed script leaves its lock, with which it may start again.

    Args:
        flag: that names the folder, for messages.

    Raises:
        UserError: it is one of these, and `overwrite` is not set.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{flag} {out}: is a file; choose a folder")
    if out.is_dir() and any(path.name != LOCK for path in out.iterdir()) and not overwrite:
        raise UserError(f"{flag} {out}: is not empty; choose another folder, or pass --overwrite")


def check_out_file(path: str | None, *, overwrite: bool, if_folder: str = "", flag: str = "--json") -> None:
    """Refuse a FILE that cannot be written, before any work is done.

    Args:
        path: None or "-" if there is no file.
        if_folder: what to do about a folder; by default, to choose a file in it.
        flag: that names the file, for messages.

    Raises:
        UserError: it is a folder, its folder is missing, it exists and `overwrite` is not set, or it is a file of a
            prediction, perhaps of one that the command reads.
    """
    if path in (None, "-"):
        return
    file = Path(str(path))
    if file.is_dir():
        fix = if_folder or f"choose a file in it, such as {file / 'results.json'}"
        raise UserError(f"{flag} {file}: is a folder; {fix}")
    if file.exists() and not overwrite:
        raise UserError(f"{flag} {file}: exists; choose another path, or pass --overwrite")
    if not file.resolve().parent.is_dir():
        raise UserError(f"{flag} {file}: the folder {file.resolve().parent} does not exist; create it")
    # blend.json and cascade.json are what --json writes, so one may replace another.
    if file.exists() and file.name in (*_OF_EVERY_ONE, PREDICT_RESULTS, ALL_RESULTS):
        raise UserError(f"{flag} {file}: is a file of a prediction, which needs it; choose another path")


@contextmanager
def replacing_prediction(output_dir: str | os.PathLike[str], results: Mapping[str, Any]) -> Iterator[Path]:
    """A folder to write a prediction's files into; when the block ends, they become those of the output folder.

    `results` is written as predict_results.json and into all_results.json, next to the values of training and
    evaluation. Files of an earlier prediction that the new one does not have are deleted.

    Args:
        output_dir: the folder of the run; created if needed.

    Raises:
        OSError: a file cannot be written or renamed. Before the first rename the earlier prediction is unchanged, after
            it predict_results.json is missing.
    """
    target = Path(output_dir)
    staging = target / _STAGING
    if staging.is_symlink() or staging.is_file():
        staging.unlink()
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        yield staging
        _write_results(results, target, staging)
        for path in staging.iterdir():
            _sync(path)
        _publish(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_results(results: Mapping[str, Any], target: Path, staging: Path) -> None:
    others = {name: value for name, value in _stored(target / ALL_RESULTS).items() if not name.startswith(_PREFIXES)}
    for name, values in ((ALL_RESULTS, others | dict(results)), (PREDICT_RESULTS, results)):
        write_synced(staging / name, json.dumps(values, indent=4, sort_keys=True))


def _stored(path: Path) -> dict[str, Any]:
    """The values of an earlier run; {} if the file is missing, or was cut when that run was killed."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return stored if isinstance(stored, dict) else {}


def _publish(staging: Path, target: Path) -> None:
    (target / PREDICT_RESULTS).unlink(missing_ok=True)
    sync_folder(target)
    names = sorted(path.name for path in staging.iterdir() if path.name != PREDICT_RESULTS)
    for name in names:
        os.replace(staging / name, target / name)
    for name in OF_A_PREDICTION:
        if name not in names:
            (target / name).unlink(missing_ok=True)
    sync_folder(target)
    os.replace(staging / PREDICT_RESULTS, target / PREDICT_RESULTS)
    sync_folder(target)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
