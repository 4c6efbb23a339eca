"""What a folder of tokenised data was made of, so that a run does not train on the rows of other data."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmtuner.errors import UserError
from llmtuner.files import sha256_of_file, sha256_of_json, write_atomic
from llmtuner.spec.model_files import TOKENIZER_FILES

ORIGIN = "tokenized_from.json"
FORMAT = 1
_OF_DATASETS = "dataset_dict.json"  # what `datasets` writes into every folder that it saves
_OF_ONE_SET = "state.json"  # of `datasets`, in the folder of a single set


def tokenizer_digest(model: str) -> str:
    """SHA-256 over the tokenizer files of a model's folder; for a model on the hub, its name."""
    files = [Path(model, name) for name in TOKENIZER_FILES if Path(model, name).is_file()]
    return sha256_of_json({file.name: sha256_of_file(file) for file in files}) if files else model


def differences(folder: str | os.PathLike[str], origin: Mapping[str, Any]) -> list[str] | None:
    """What differs between the origin of tokenised data and that of this run, a line each.

    Args:
        origin: what this run's data would be made of, by the name of the flag.

    Returns:
        [] if nothing differs; None if the folder does not say what it was made of.

    Raises:
        UserError: the folder's record is damaged, or has a later format.
    """
    path = Path(folder, ORIGIN)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged: not JSON; name another folder, or add --overwrite_cache") from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT or not isinstance(stored.get("origin"), dict):
        raise UserError(f"{path}: not of format {FORMAT}; name another folder, or add --overwrite_cache")
    before, now = stored["origin"], json.loads(json.dumps(origin))
    return [_difference(name, before.get(name), now.get(name)) for name in now if before.get(name) != now.get(name)]


def damage(folder: str | os.PathLike[str]) -> str:
    """Which file of tokenised data is not as it was written; "" for none, or if an earlier version wrote the data.

    `datasets` has no checksums: a damaged row would be trained on.
    """
    stored = json.loads(Path(folder, ORIGIN).read_text(encoding="utf-8")).get("files") or {}
    now = _digests(Path(folder)) if stored else {}
    return next((name for name, digest in stored.items() if now.get(name) != digest), "")


def write_origin(folder: str | os.PathLike[str], origin: Mapping[str, Any]) -> Path:
    """Write what the tokenised data of a folder was made of; last, so that a folder with a record is complete.

    Raises:
        OSError: it cannot be written.
    """
    content = json.dumps({"format": FORMAT, "origin": dict(origin), "files": _digests(Path(folder))}, indent=2)
    written = write_atomic(Path(folder, ORIGIN), content + "\n")
    _marker(folder).unlink(missing_ok=True)
    return written


def mark_unfinished(folder: str | os.PathLike[str]) -> None:
    """Note beside a folder that this process writes tokenised data to it; `write_origin` removes the note.

    Raises:
        OSError: it cannot be written.
    """
    marker = _marker(folder)
    marker.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(marker, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))


def check_is_tokenized(folder: str | os.PathLike[str]) -> None:
    """Refuse a folder that `datasets` did not save.

    Raises:
        UserError: it has none of the files that name its data sets.
    """
    if not any(Path(folder, name).is_file() for name in (_OF_DATASETS, _OF_ONE_SET)):
        raise UserError(
            f"--tokenized_path {folder}: not tokenised data (it has no {_OF_DATASETS}); name such a folder, or a new "
            "one, which then gets the data of this run"
        )


def is_complete(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds data that nobody is writing; of an earlier version, it has no record."""
    return Path(folder).is_dir() and any(Path(folder).iterdir()) and not _marker(folder).is_file()


def remove_unfinished(folder: str | os.PathLike[str]) -> bool:
    """Delete the half of tokenised data that a killed run left; return whether there was any.

    Raises:
        UserError: the run may still write it.
    """
    marker = _marker(folder)
    if not marker.is_file() or Path(folder, ORIGIN).is_file():
        return False
    writer = _writer(marker)
    if writer:
        raise UserError(
            f"--tokenized_path {folder}: {writer} writes to it; wait for it, or name another folder. If it has ended, "
            f"delete {marker}"
        )
    if Path(folder).is_dir():
        shutil.rmtree(folder)
    marker.unlink()
    return True


def remove_tokenized(folder: str | os.PathLike[str]) -> None:
    """Delete tokenised data that this project saved, and nothing else.

    Raises:
        UserError: the folder has no record of this project, or holds more than tokenised data.
    """
    path = Path(folder)
    parts = [entry for entry in path.iterdir() if entry.name not in (ORIGIN, _OF_DATASETS)]
    foreign = [entry.name for entry in parts if not (entry / "dataset_info.json").is_file()]
    if foreign or not (path / ORIGIN).is_file():
        raise UserError(
            f"--tokenized_path {path}: not only tokenised data that this project saved "
            f"({foreign[0] if foreign else f'no {ORIGIN}'}), so --overwrite_cache deletes nothing; name another folder"
        )
    (path / ORIGIN).unlink()
    for entry in parts:
        shutil.rmtree(entry)
    (path / _OF_DATASETS).unlink(missing_ok=True)


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of tokenised data, by its path within the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ORIGIN)
    return {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files}


def _marker(folder: str | os.PathLike[str]) -> Path:
    path = Path(os.path.abspath(folder))
    return path.with_name(f".{path.name}.unfinished")


def _writer(marker: Path) -> str:
    """The process that a note names, if it may be alive; "" if it has ended, or is this one."""
    try:
        holder = json.loads(marker.read_text(encoding="utf-8"))
        pid, host = int(holder["pid"]), str(holder["host"])
    except (OSError, ValueError, KeyError, TypeError):  # damaged: a note is written whole, so no run writes now
        return ""
    if pid == os.getpid() and host == socket.gethostname():
        return ""
    if host == socket.gethostname():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except OSError:  # it is another user's
            pass
    return f"process {pid} on {host}"


def _difference(name: str, before: Any, now: Any) -> str:
    if name in ("dataset", "eval_dataset") and before and now:
        return f"--{name}: the data has another content"
    if name == "tokenizer":
        return "the tokenizer of --model_name_or_path is another one"
    return f"--{name}: {_shown(before)}, and now {_shown(now)}"


def _shown(value: Any) -> str:
    return "not given" if value is None or value == "" else str(value)
