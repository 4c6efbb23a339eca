"""Find the Kaggle files: anywhere below a folder, also inside zip files as Kaggle packs them."""

from __future__ import annotations

import lzma
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llmtuner.data.prepare.sources import TEST_FILE, WANTED, substitute_of
from llmtuner.data.problems import terminal_path
from llmtuner.data.sniff import file_status
from llmtuner.errors import DataError, RunError, UserError
from llmtuner.files import sha256_of_file

MAX_BYTES = 500_000_000  # of all unpacked files together; the real ones have 60 million
_NAMES = WANTED | {substitute_of(name) for name in WANTED - {TEST_FILE}}


@dataclass(frozen=True, slots=True)
class RawFile:
    """One of the wanted files.

    Args:
        name: its own name.
        display_path: its path below the raw folder, for messages and the manifest: with "/" as separator, including the
            zip file if it is in one, and without terminal control characters. Never used as a path.
        path: the file to read.
        sha256: of its content.
        packed: whether it comes from a zip file, so that `path` is a temporary copy unknown to the user.
    """

    name: str
    display_path: str
    path: Path
    sha256: str
    packed: bool = False


def find_files(raw: Path, unpacked: Path) -> dict[str, RawFile]:
    """The wanted files by name.

    Args:
        raw: the folder to search, with all folders below it; links to folders are not followed.
        unpacked: an empty folder for the contents of zip files. Names inside a zip file are never used as paths.

    Raises:
        UserError: the folder is missing or empty, or files with the same name have different contents.
        DataError: a zip file is damaged, protected by a password, or too large when unpacked; a pipe or similar.
        RunError: no disk space to unpack.
    """
    if not os.path.isdir(raw):
        defect = "is a file, expected a folder" if os.path.exists(raw) else "no such folder"
        raise UserError(f"--raw {terminal_path(raw)}: {defect}; pass the folder with the downloaded Kaggle files")
    files_by_name: dict[str, list[RawFile]] = {}
    is_empty = True
    unpack = _Unpacker(unpacked)
    for path in _files(raw):
        is_empty = False
        for file in _wanted_files(path, raw, unpack):
            files_by_name.setdefault(file.name, []).append(file)
    if is_empty:
        raise UserError(
            f"--raw {terminal_path(raw)}: the folder is empty; download the Kaggle files first (data/README.md)"
        )
    return {name: _only_one(name, files) for name, files in sorted(files_by_name.items())}


def _files(raw: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(raw):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _wanted_files(path: Path, raw: Path, unpack: _Unpacker) -> Iterator[RawFile]:
    """The file itself if it is wanted, or the wanted files inside if it is a zip file."""
    display_path = terminal_path(path.relative_to(raw).as_posix())
    is_archive = path.name not in _NAMES and path.suffix.lower() == ".zip"
    if is_archive or path.name in _NAMES:
        file_status(path)  # before it is opened: opening a pipe would block forever
    if is_archive:
        yield from _files_in_archive(path, display_path, unpack)
    elif path.name in _NAMES:
        yield RawFile(path.name, display_path, path, _digest(path))


def _files_in_archive(path: Path, display_path: str, unpack: _Unpacker) -> Iterator[RawFile]:
    archive_name = terminal_path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            for member in sorted(archive.infolist(), key=lambda member: member.filename):
                parts = _name_parts(member)
                if member.is_dir() or not parts or parts[-1] not in _NAMES:
                    continue
                if member.flag_bits & 1:
                    raise DataError(f"{archive_name}: {parts[-1]} needs a password; unpack it and pass the folder")
                copy = unpack(archive, member, parts[-1], archive_name)
                yield RawFile(parts[-1], "/".join([display_path, *parts]), copy, sha256_of_file(copy), packed=True)
    except NotImplementedError as error:
        raise DataError(f"{archive_name}: {error}; unpack it and pass the folder") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, UserError | RunError):
            raise
        raise DataError(f"{archive_name}: a damaged zip file ({error}); download it again") from error


def _name_parts(member: zipfile.ZipInfo) -> list[str]:
    """The parts of a member's name, for display. The folders tell members with the same file name apart."""
    parts = terminal_path(member.filename.replace("\\", "/")).split("/")
    return ["__" if part == ".." else part for part in parts if part not in ("", ".")]


class _Unpacker:
    """Copies members of zip files, with one size limit for all. The sizes that a zip file states may be wrong.

    Args:
        folder: for the copies, each in its own new folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._bytes_left = folder, MAX_BYTES

    def __call__(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, archive_name: str) -> Path:
        """Copy one member under a safe name; return the path of the copy."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            target = Path(tempfile.mkdtemp(dir=self._folder), name)
            copy = target.open("wb")
        except OSError as error:
            raise self._no_room(name, archive_name, error) from error
        with archive.open(member) as packed, copy:
            while block := packed.read(1 << 20):
                self._bytes_left -= len(block)
                if self._bytes_left < 0:
                    raise DataError(
                        f"{archive_name}: unpacked with {name}, its files have more than {MAX_BYTES:,} bytes; unpack "
                        "the wanted files and pass the folder"
                    )
                try:
                    copy.write(block)
                    copy.flush()
                except OSError as error:
                    raise self._no_room(name, archive_name, error) from error
        return target

    def _no_room(self, name: str, archive_name: str, error: OSError) -> RunError:
        folder = terminal_path(self._folder.parent)
        return RunError(
            f"{name} of {archive_name} cannot be unpacked to {folder}: {error.strerror}; set TMPDIR to another folder"
        )


def _digest(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise DataError(f"{terminal_path(path)}: cannot be read: {error.strerror}") from error


def _only_one(name: str, files: list[RawFile]) -> RawFile:
    if len({file.sha256 for file in files}) > 1:
        listed = ", ".join(f"{file.display_path} ({file.sha256[:8]})" for file in files)
        raise UserError(f"{name}: several files of this name with different contents: {listed}; keep one of them")
    return files[0]
