"""Manifests: checkpoint.json in every checkpoint, run.json in the output folder of a finished training.

A manifest lists the files of its folder with their digests, and says what the training was made of. It is written last,
so a folder whose manifest verifies is complete. Renaming whole folders instead was tried twice in transformers and
reverted twice (its pull requests 27820 and 35580), because it fails with several processes and on network disks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from llmtuner.errors import UserError
from llmtuner.files import sha256_of_file, sha256_of_json, sync_folder, write_atomic

CHECKPOINT_MANIFEST, RUN_MANIFEST = "checkpoint.json", "run.json"
MERGED_TRAINING = "training.json"  # in a model that was merged or saved anew: the manifest of its training
FORMAT = 1


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file's size in bytes, and the SHA-256 of its content."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DataDigest:
    """Data: SHA-256 of its content (`llmtuner.data.digest`), and its rows; None where not known."""

    sha256: str
    rows: int | None = None


_OF_DATA = ("data", "eval_data")  # the digests of a manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a checkpoint or a finished training is.

    Args:
        stage: the stage that trained it.
        step, max_steps, epoch: how far it is, and how far the training was planned.
        world_size: the number of processes.
        files: digests by the file's path within the folder.
        data: the training data; None if its content cannot be read here (data of the hub).
        eval_data: that of --eval_dataset; None without it, where it cannot be read, or from an earlier version.
        base: fingerprint of the base model (`llmtuner.runs.weights`); "" if unknown.
        adapters: fingerprints of the adapters that the training started from, in order; "" for one that is not here.
        tokenizer: digest of the base model's tokenizer files; "" if unknown.
        settings: every flag of the training by name, resolved; no secrets.
        answer_places: how often each place is the right answer in the training data, by letter.
        prompt: the prompt's form.
        retrieve: how contexts were retrieved; None if they were not.
        versions: of the packages that wrote it.
        loss: what was summed up since the last line of the log, so that a resumed training logs the same numbers.
        for_best: whether the checkpoint was saved only because its evaluation was the best so far.
    """

    stage: str
    step: int
    max_steps: int
    epoch: float
    world_size: int = 1
    files: Mapping[str, FileDigest] = field(default_factory=dict)
    data: DataDigest | None = None
    eval_data: DataDigest | None = None
    base: str = ""
    adapters: Sequence[str] = ()
    tokenizer: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    answer_places: Mapping[str, int] = field(default_factory=dict)
    prompt: Mapping[str, Any] = field(default_factory=dict)
    retrieve: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    loss: Mapping[str, float] = field(default_factory=dict)
    for_best: bool = False

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        stored: dict[str, Any] = {"format": FORMAT, **{each.name: getattr(self, each.name) for each in fields(self)}}
        stored["files"] = {name: {"size": d.size, "sha256": d.sha256} for name, d in sorted(self.files.items())}
        for name in _OF_DATA:
            stored[name] = None if stored[name] is None else {"sha256": stored[name].sha256, "rows": stored[name].rows}
        return stored

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Manifest:
        """Rebuild a manifest from the content of its file.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: the content is damaged.
        """
        names = {each.name for each in fields(cls)}
        known = {name: value for name, value in stored.items() if name in names}
        known["files"] = {
            str(name): FileDigest(int(digest["size"]), str(digest["sha256"]))
            for name, digest in stored["files"].items()
        }
        outside = [name for name in known["files"] if Path(name).is_absolute() or ".." in Path(name).parts]
        if outside:
            raise ValueError(f"files: {outside[0]} is outside the folder")
        for name in _OF_DATA:
            data = stored.get(name)
            known[name] = None if data is None else DataDigest(str(data["sha256"]), data["rows"])
        for name, kind in (("stage", str), ("step", int), ("max_steps", int), ("base", str), ("settings", dict)):
            if not isinstance(known[name], kind):
                raise TypeError(f"{name}: expected {kind.__name__}, found {known[name]!r}")
        known["epoch"] = float(known["epoch"])
        known["adapters"] = tuple(map(str, stored.get("adapters", ())))
        return cls(**known)


def _digest(stored: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest's content, without the digests of files, which are compared with the files."""
    return sha256_of_json({name: value for name, value in stored.items() if name not in ("files", "digest")})


def digest_files(folder: Path, names: Iterable[str]) -> dict[str, FileDigest]:
    """Digests of files in a folder, by their names; subfolders are written with "/".

    Raises:
        OSError: a file cannot be read.
    """
    return {name: FileDigest((folder / name).stat().st_size, sha256_of_file(folder / name)) for name in sorted(names)}


def write_manifest(manifest: Manifest, path: str | os.PathLike[str]) -> Path:
    """Write a manifest: to a temporary name, synced, renamed; then the folder is synced, so that a crash keeps it.

    Raises:
        OSError: it cannot be written.
    """
    content = json.loads(json.dumps(manifest.to_json(), default=str))
    content["digest"] = _digest(content)
    written = write_atomic(path, json.dumps(content, indent=2) + "\n")
    sync_folder(written.parent)
    return written


def read_manifest(path: str | os.PathLike[str]) -> Manifest | None:
    """A manifest, or None if the file does not exist.

    Raises:
        UserError: it is damaged, or has a later format.
    """
    path = Path(path)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged: not JSON: {error}") from error
    if not isinstance(stored, dict):
        raise UserError(f"{path}: damaged: expected an object, found {type(stored).__name__}")
    if stored.get("format") != FORMAT:
        raise UserError(f"{path}: format {stored.get('format')!r}, written by a later version; expected {FORMAT}")
    if stored.get("digest", _digest(stored)) != _digest(stored):
        raise UserError(f"{path}: damaged: its content is not what was written")
    try:
        return Manifest.from_json(stored)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: damaged: {type(error).__name__}: {error}") from error


def defect_of(folder: Path, manifest: Manifest) -> str:
    """Why a folder does not have the files of its manifest; "" if it has all of them, byte by byte."""
    sizes = (_size_defect(folder / name, name, digest) for name, digest in manifest.files.items())
    contents = (file_defect(folder, name, digest) for name, digest in manifest.files.items())
    return next(filter(None, sizes), "") or next(filter(None, contents), "")


def manifest_of(folder: str | os.PathLike[str]) -> Manifest | None:
    """The manifest of a finished training or of a checkpoint; None for a folder from before manifests.

    Raises:
        UserError: it is damaged.
    """
    return read_manifest(Path(folder) / RUN_MANIFEST) or read_manifest(Path(folder) / CHECKPOINT_MANIFEST)


def manifest_or_merged(folder: str | os.PathLike[str]) -> Manifest | None:
    """As `manifest_of`; a model that was merged or saved anew has the manifest of its training.

    Raises:
        UserError: a manifest is damaged.
    """
    return manifest_of(folder) or read_manifest(Path(folder) / MERGED_TRAINING)


def file_defect(folder: Path, name: str, digest: FileDigest) -> str:
    """Why a file is not the one that was saved; "" if it is."""
    defect = _size_defect(folder / name, name, digest)
    if not defect and sha256_of_file(folder / name) != digest.sha256:
        return f"{name} is damaged: its content is not what was saved"
    return defect


def _size_defect(path: Path, name: str, digest: FileDigest) -> str:
    try:
        size = path.stat().st_size
    except OSError:
        return f"{name} is missing"
    if size != digest.size:
        return f"{name} has {size:,} bytes, and had {digest.size:,} when it was saved"
    return ""
