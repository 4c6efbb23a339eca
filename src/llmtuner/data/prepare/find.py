"""Where the Kaggle files are: anywhere below a folder, also inside zip files as Kaggle packs them."""

from __future__ import annotations

import lzma
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llmtuner.data.prepare.sources import TEST_FILE, WANTED, instead_of
from llmtuner.data.problems import terminal_path
from llmtuner.data.sniff import file_status
from llmtuner.errors import DataError, RunError, UserError
from llmtuner.files import sha256_of_file

MOST_BYTES = 500_000_000  # of all unpacked files; the real ones have 60 million
_NAMES = WANTED | {instead_of(name) for name in WANTED - {TEST_FILE}}


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file that was found.

    Args:
        name: its own name.
        shown: its path below the raw folder, through the zip file where it is in one; with "/" everywhere, and fit for
            a terminal. Never used as a path.
        path: where it can be read.
        sha256: of its content.
        packed: whether it comes out of a zip file, so that `path` means nothing to the user.
    """

    name: str
    shown: str
    path: Path
    sha256: str
    packed: bool = False


def find_files(raw: Path, unpacked: Path) -> dict[str, RawFile]:
    """The wanted files by name.

    Args:
        raw: searched with all folders below it; links to folders are not followed.
        unpacked: an empty folder for what zip files hold. Names inside a zip file are never used as paths.

    Raises:
        UserError: no such folder, or an empty one; one name with different contents.
        DataError: a zip file that is damaged, protected by a password, or too large when unpacked; a pipe or the like.
        RunError: there is no room to unpack.
    """
    if not os.path.isdir(raw):
        what = "is a file, a folder is needed" if os.path.exists(raw) else "no such folder"
        raise UserError(f"--raw {terminal_path(raw)}: {what}; pass the folder that the Kaggle files were downloaded to")
    found: dict[str, list[RawFile]] = {}
    empty = True
    unpack = _Unpacking(unpacked)
    for path in _files(raw):
        empty = False
        for file in _of_path(path, raw, unpack):
            found.setdefault(file.name, []).append(file)
    if empty:
        raise UserError(
            f"--raw {terminal_path(raw)}: the folder is empty; download the Kaggle files first (data/README.md)"
        )
    return {name: _only_one(name, files) for name, files in sorted(found.items())}


def _files(raw: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(raw):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _of_path(path: Path, raw: Path, unpack: _Unpacking) -> Iterator[RawFile]:
    shown = terminal_path(path.relative_to(raw).as_posix())
    packed = path.name not in _NAMES and path.suffix.lower() == ".zip"
    if packed or path.name in _NAMES:
        file_status(path)  # before it is opened: a pipe would keep us waiting for ever
    if packed:
        yield from _of_archive(path, shown, unpack)
    elif path.name in _NAMES:
        yield RawFile(path.name, shown, path, _digest(path))


def _of_archive(path: Path, shown: str, unpack: _Unpacking) -> Iterator[RawFile]:
    where = terminal_path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            for member in sorted(archive.infolist(), key=lambda member: member.filename):
                inside = _inside(member)
                if member.is_dir() or not inside or inside[-1] not in _NAMES:
                    continue
                if member.flag_bits & 1:
                    raise DataError(f"{where}: {inside[-1]} is protected by a password; unpack it and pass the folder")
                unpacked, digest = unpack(archive, member, inside[-1], where)
                yield RawFile(inside[-1], "/".join([shown, *inside]), unpacked, digest, packed=True)
    except NotImplementedError as error:
        raise DataError(f"{where}: {error}; unpack it and pass the folder") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, UserError | RunError):
            raise
        raise DataError(f"{where}: a damaged zip file ({error}); download it again") from error


def _inside(member: zipfile.ZipInfo) -> list[str]:
    """The parts of a member's name, to be shown: two members of one name are told apart by their folders."""
    parts = terminal_path(member.filename.replace("\\", "/")).split("/")
    return ["__" if part == ".." else part for part in parts if part not in ("", ".")]


class _Unpacking:
    """Copies members of zip files, with one limit for all: a zip file's own word on its size need not be true.

    Args:
        folder: where the copies go, each into a new folder of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._room = folder, MOST_BYTES

    def __call__(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, where: str) -> tuple[Path, str]:
        """Copy one member under a known name; its path and SHA-256."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            target = Path(tempfile.mkdtemp(dir=self._folder), name)
            plain = target.open("wb")
        except OSError as error:
            raise self._no_room(name, where, error) from error
        with archive.open(member) as packed, plain:
            while block := packed.read(1 << 20):
                self._room -= len(block)
                if self._room < 0:
                    raise DataError(f"{where}: more than {MOST_BYTES:,} bytes when {name} is unpacked: no exam")
                try:
                    plain.write(block)
                    plain.flush()
                except OSError as error:
                    raise self._no_room(name, where, error) from error
        return target, sha256_of_file(target)

    def _no_room(self, name: str, where: str, error: OSError) -> RunError:
        folder = terminal_path(self._folder.parent)
        return RunError(f"{name} of {where} cannot be unpacked to {folder}: {error.strerror}; name another by TMPDIR")


def _digest(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise DataError(f"{terminal_path(path)}: cannot be read: {error.strerror}") from error


def _only_one(name: str, files: list[RawFile]) -> RawFile:
    if len({file.sha256 for file in files}) > 1:
        listed = ", ".join(f"{file.shown} ({file.sha256[:8]})" for file in files)
        raise UserError(f"{name} is there more than once with different contents: {listed}; keep one of them")
    return files[0]
