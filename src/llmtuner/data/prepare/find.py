"""Where the Kaggle files are: anywhere below a folder, also inside zip files as Kaggle packs them."""

from __future__ import annotations

import hashlib
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llmtuner.data.prepare.sources import TEST_FILE, WANTED, instead_of
from llmtuner.data.problems import file_name
from llmtuner.errors import DataError, RunError, UserError

MOST_BYTES = 500_000_000  # of all unpacked files; the real ones have 60 million
_NAMES = WANTED | {instead_of(name) for name in WANTED - {TEST_FILE}}


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file that was found.

    Args:
        name: its own name.
        shown: its path below the raw folder, through the zip file where it is in one; with "/" everywhere.
        path: where it can be read.
        sha256: of its content.
    """

    name: str
    shown: str
    path: Path
    sha256: str


def find_files(raw: Path, unpacked: Path) -> dict[str, RawFile]:
    """The wanted files by name.

    Args:
        raw: searched with all folders below it; links to folders are not followed.
        unpacked: an empty folder for what zip files hold. Names inside a zip file are never used as paths.

    Raises:
        UserError: no such folder, or an empty one; one name with different contents.
        DataError: a zip file that is damaged, protected by a password, or too large when unpacked.
    """
    if not raw.is_dir():
        what = "is a file, a folder is needed" if raw.exists() else "no such folder"
        raise UserError(f"--raw {file_name(raw)}: {what}; pass the folder that the Kaggle files were downloaded to")
    found: dict[str, list[RawFile]] = {}
    empty = True
    for path in _files(raw):
        empty = False
        for file in _of_path(path, raw, unpacked):
            found.setdefault(file.name, []).append(file)
    if empty:
        raise UserError(
            f"--raw {file_name(raw)}: the folder is empty; download the Kaggle files first (data/README.md)"
        )
    return {name: _only_one(name, files) for name, files in sorted(found.items())}


def _files(raw: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(raw):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _of_path(path: Path, raw: Path, unpacked: Path) -> Iterator[RawFile]:
    shown = path.relative_to(raw).as_posix()
    if path.name in _NAMES:
        yield RawFile(path.name, shown, path, _digest(path))
    elif path.suffix.lower() == ".zip":
        yield from _of_archive(path, shown, unpacked)


def _of_archive(path: Path, shown: str, unpacked: Path) -> Iterator[RawFile]:
    where = file_name(path)
    try:
        with zipfile.ZipFile(path) as archive:
            for member in sorted(archive.infolist(), key=lambda member: member.filename):
                name = PurePosixPath(member.filename.replace("\\", "/")).name
                if member.is_dir() or name not in _NAMES:
                    continue
                if member.flag_bits & 1:
                    raise DataError(f"{where}: {name} is protected by a password; unpack it and pass the folder")
                inside = f"{shown}/{name}"
                folder = unpacked / hashlib.sha256(f"{inside}/{member.filename}".encode()).hexdigest()[:12]
                yield RawFile(name, inside, *_unpack(archive, member, folder / name, where))
    except NotImplementedError as error:
        raise DataError(f"{where}: {error}; unpack it and pass the folder") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, UserError | RunError):
            raise
        raise DataError(f"{where}: a damaged zip file ({error}); download it again") from error


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, where: str) -> tuple[Path, str]:
    """Copy with a limit: a zip file's own word on its size need not be true. Returns path and SHA-256."""
    room = MOST_BYTES - sum(path.stat().st_size for path in target.parent.parent.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as packed, target.open("wb") as plain:
        while block := packed.read(1 << 20):
            room -= len(block)
            if room < 0:
                raise DataError(f"{where}: more than {MOST_BYTES:,} bytes when {target.name} is unpacked: no exam")
            digest.update(block)
            try:
                plain.write(block)
                plain.flush()
            except OSError as error:
                raise RunError(f"{target.name} of {where} cannot be unpacked: {error.strerror}") from error
    return target, digest.hexdigest()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{file_name(path)}: cannot be read: {error.strerror}") from error


def _only_one(name: str, files: list[RawFile]) -> RawFile:
    if len({file.sha256 for file in files}) > 1:
        listed = ", ".join(f"{file_name(file.shown)} ({file.sha256[:8]})" for file in files)
        raise UserError(f"{name} is there more than once with different contents: {listed}; keep one of them")
    return files[0]
