"""Check that a file is what its name says, and read it."""

from __future__ import annotations

import difflib
import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

from llmtuner.data.charset import conversion
from llmtuner.data.expand import COMPRESSIONS, expanded
from llmtuner.data.problems import line_list, terminal_path
from llmtuner.errors import DataError

_LFS = b"version https://git-lfs.github.com"
_PAGE = (b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml", b"<!--")
_BOM = b"\xef\xbb\xbf"
# Zip archives that programs write: a part's name, what the archive is, the fix, the suffix that it should have.
_ZIP_PARTS = (
    (b"xl/workbook.bin", "a binary Excel workbook", "save it as .xlsx, or export the sheet as CSV UTF-8", ""),
    (b"xl/", "an Excel workbook", "", ".xlsx"),
    (b"word/", "a Word document", "export its table as CSV UTF-8", ""),
    (b"opendocument.spreadsheet", "an OpenDocument sheet", "save it as .xlsx, or export it as CSV UTF-8", ""),
)


class WrongType(DataError):
    """The content is of another type than the file's name says.

    Args:
        suffixes: names under which it may be readable, best first. Whether it is must be tried before it is advised.
    """

    def __init__(self, message: str, suffixes: tuple[str, ...]) -> None:
        super().__init__(message)
        self.suffixes = suffixes


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a content is, by its first bytes, with a fix or the suffixes that it should have."""

    name: str
    fix: str = ""
    suffixes: tuple[str, ...] = ()


def split_suffix(path: Path) -> tuple[str, str]:
    """The suffix of a file's type and that of its compression, in lower case: (".csv", ".gz"), (".csv", "")."""
    compression = path.suffix.lower() if path.suffix.lower() in COMPRESSIONS else ""
    return (Path(path.stem).suffix if compression else path.suffix).lower(), compression


def file_status(path: Path) -> os.stat_result:
    """The status of a regular file.

    Raises:
        DataError: no such file (with similar names), a folder, another kind of entry, or no access.
    """
    status = path_status(path)
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"{terminal_path(path)}: is a folder (directory), expected a file{_data_files_in(path)}")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{terminal_path(path)}: is not a regular file; copy its content to a regular file")
    return status


def path_status(path: Path) -> os.stat_result:
    """The status of a path that exists, of whatever kind.

    Raises:
        DataError: no such file (with similar names), or no access.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{terminal_path(path)}: not found{similar_names(path)}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise DataError(f"{terminal_path(path)}: cannot be read: {_reason(error)}") from error


def read_bytes(path: Path, *, magic: tuple[bytes, ...] = (), compression: str = "", suffix: str = "") -> bytes:
    """The content of a data file, expanded, after a check of its type.

    Args:
        magic: the first bytes of the expected type, in each of its variants; none for text.
        compression: ".gz", ".zst" or "".
        suffix: the suffix that the content must have, for messages; by default the file's own.

    Raises:
        DataError: missing, a folder, unreadable, empty, or a web page, Git LFS pointer or archive with a wrong suffix.
    """
    file_status(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{terminal_path(path)}: cannot be read: {_reason(error)}; check its permissions") from error
    suffix = suffix or split_suffix(path)[0]
    if compression:
        content = _expanded(content, compression, suffix, path)
    if not content:
        raise DataError(f"{terminal_path(path)}: is empty (0 bytes); download it again")
    if defect := _page_or_pointer(content):
        raise DataError(f"{terminal_path(path)}: {defect}")
    if not any(content.startswith(mark) for mark in magic):
        _check_type(content, suffix, compression, bool(magic), path)
    return content


def read_text(path: Path, compression: str | None = None) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Args:
        compression: ".gz", ".zst" or "" (none); None takes it from the file's name.

    Raises:
        DataError: as in `read_bytes`, or another encoding (with the position of the first byte that is not UTF-8).
    """
    compression = split_suffix(path)[1] if compression is None else compression
    content = read_bytes(path, compression=compression)
    name = path.name.removesuffix(path.suffix) if compression else path.name
    unpack = f"unpack it ({_unpacking(path, compression)} > {shlex.quote(name)}) and " if compression else ""
    if encoding := wide_encoding(content):
        convert = f"iconv -f {encoding} -t UTF-8 {shlex.quote(terminal_path(name))} > utf8{Path(name).suffix}"
        raise DataError(f"{terminal_path(path)}: is {encoding}, expected UTF-8; {unpack}convert it: {convert}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The decoder removes the BOM first, so its positions are three bytes too small.
        start = error.start + (len(_BOM) if content.startswith(_BOM) else 0)
        line = content.count(b"\n", 0, start) + 1
        if error.reason == "unexpected end of data":
            fix = "it ends in the middle of a character: download it again"
        else:
            fix = _damaged_places(content) or unpack + conversion(content, name)
        raise DataError(
            f"{terminal_path(path)}:{line}: is not UTF-8 at byte {start} (0x{content[start]:02x}), expected UTF-8; "
            f"{fix}"
        ) from error


def read_start(path: Path, *, magic: tuple[bytes, ...], suffix: str) -> bytes:
    """The first bytes of a binary file that is read in parts, checked as `read_bytes` checks a whole one.

    Raises:
        DataError: as in `read_bytes`.
    """
    file_status(path)
    try:
        with path.open("rb") as file:
            start = file.read(max(map(len, magic)))
    except OSError as error:
        raise DataError(f"{terminal_path(path)}: cannot be read: {_reason(error)}; check its permissions") from error
    if not start.startswith(magic):
        try:
            read_bytes(path, magic=magic, suffix=suffix)  # says what it is instead
        except WrongType as error:
            fix = f"rename it to {error.suffixes[0]}" if error.suffixes else "download it again"
            raise DataError(f"{error}; {fix}") from error
    return start


def check_text_start(start: bytes, suffix: str, path: Path) -> None:
    """Check the first bytes of a text that is read in parts, as `read_text` checks a whole one.

    Args:
        start: the expanded content's beginning.
        suffix: the suffix of the text's type.

    Raises:
        DataError: empty, a web page, a Git LFS pointer, another type, UTF-16 or UTF-32.
    """
    if not start:
        raise DataError(f"{terminal_path(path)}: is empty (0 bytes); download it again")
    defect = _page_or_pointer(start)
    if defect and (suffix != ".md" or start.startswith(_LFS)):  # Markdown may begin with HTML
        raise DataError(f"{terminal_path(path)}: {defect}")
    compression = split_suffix(path)[1]
    if encoding := wide_encoding(start):  # before the type: a byte order mark looks like Arrow
        raise DataError(f"{terminal_path(path)}: is {encoding}, expected UTF-8; save it as UTF-8")
    _check_type(start, suffix, compression, False, path)


def _expanded(content: bytes, compression: str, suffix: str, path: Path) -> bytes:
    """The expanded content; a file that is not compressed at all may only have the wrong name."""
    kind = _kind(content, path)
    if kind is None or compression not in kind.suffixes:
        name = kind.name if kind else "not compressed"
        raise WrongType(f"{terminal_path(path)}: is {name}, not {compression[1:]}", () if kind else (suffix,))
    return expanded(content, compression, path)


def _check_type(content: bytes, suffix: str, compression: str, binary: bool, path: Path) -> None:
    """Raise an error that names the content's actual type, if it is recognised or should have been recognised."""
    expected = suffix[1:].capitalize() if binary else suffix[1:].upper()
    kind = _kind(content, path)
    if kind is not None:
        message = f"{terminal_path(path)}: is {kind.name}, not {expected}"
        if compression or not kind.suffixes:
            raise DataError(f"{message}; {kind.fix or 'unpack it first'}")
        own = [suffix + each if each in COMPRESSIONS else each for each in kind.suffixes]
        raise WrongType(message, tuple(own))
    if binary:
        message = f"{terminal_path(path)}: is not {expected}: its first bytes are wrong"
        raise WrongType(message, _text_suffixes(content))


def _kind(content: bytes, path: Path) -> _Kind | None:
    """The type of a content that begins like an archive, a workbook or another binary file."""
    shown = shlex.quote(terminal_path(path.name))
    kinds = {
        b"PK\x05\x06": _Kind("an empty zip archive", "download it again"),
        b"\x1f\x8b": _Kind("a gzip archive", suffixes=(".gz",)),
        b"\x28\xb5\x2f\xfd": _Kind("a zstd archive", suffixes=(".zst",)),
        b"BZh": _Kind("a bzip2 archive", f"unpack it: bzip2 -dc {shown} > unpacked{split_suffix(path)[0]}"),
        b"\xfd7zXZ": _Kind("an xz archive", f"unpack it: xz -dc < {shown} > unpacked{split_suffix(path)[0]}"),
        b"7z\xbc\xaf": _Kind("a 7z archive", f"unpack it: 7z x {shown}"),
        b"\xd0\xcf\x11\xe0": _Kind(
            "an Excel workbook of the old kind (.xls), or one with a password",
            "save it as .xlsx without a password, or export the sheet as CSV UTF-8",
        ),
        b"PAR1": _Kind("a Parquet file", suffixes=(".parquet",)),
        b"ARROW1": _Kind("an Arrow file", suffixes=(".arrow",)),
        b"\xff\xff\xff\xff": _Kind("an Arrow file", suffixes=(".arrow",)),
        b"%PDF": _Kind("a PDF document", "download the data file itself"),
    }
    if content.startswith(b"PK\x03\x04"):
        for part, name, fix, suffix in _ZIP_PARTS:
            if part in content:
                return _Kind(name, fix, (suffix,) if suffix else ())
        return _Kind("a zip archive", f"unpack it: unzip {shown}")
    return next((kind for mark, kind in kinds.items() if content.startswith(mark)), None)


def _page_or_pointer(content: bytes) -> str:
    """What was downloaded instead of the data, with the fix; or ""."""
    start = content[:1000].removeprefix(_BOM).lstrip()
    if start.lower().startswith(_PAGE):
        return "is a web page, not data; sign in, accept the competition's rules and download it again"
    return "is a Git LFS pointer, not the data; run: git lfs pull" if start.startswith(_LFS) else ""


def _text_suffixes(content: bytes) -> tuple[str, ...]:
    """The suffixes that a text may have, by its first characters."""
    start = content[:1000].removeprefix(_BOM).lstrip()
    if start.startswith((b"{", b"[")):
        return (".jsonl", ".json") if start.startswith(b"{") else (".json",)
    line = start.split(b"\n")[0]
    return (".tsv",) if b"\t" in line else (".csv",) if b"," in line else ()


def _damaged_places(content: bytes) -> str:
    """The fix for a file that is UTF-8 except in a few places; to convert it from another encoding would damage it."""
    text = content.decode("utf-8-sig", "replace")
    lines = [number for number, line in enumerate(text.split("\n"), start=1) if "\ufffd" in line]
    damaged = text.count("\ufffd")
    sound = sum(not char.isascii() for char in text) - damaged
    return (
        f"most of it is UTF-8: correct the text in {line_list(lines)}, or download it again" if sound > damaged else ""
    )


def _unpacking(path: Path, compression: str) -> str:
    return f"{'gzip' if compression == '.gz' else 'zstd'} -dc {shlex.quote(terminal_path(path.name))}"


def wide_encoding(content: bytes) -> str:
    """The name of a UTF-16 or UTF-32 encoding, recognised by its BOM or by the zeros of Western text; else ""."""
    if content.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "UTF-32"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    even, odd = content[0:2000:2], content[1:2000:2]
    if odd.count(0) > len(odd) // 2 and even.count(0) < len(even) // 10 + 1:
        return "UTF-16LE"
    if even.count(0) > len(even) // 2 and odd.count(0) < len(odd) // 10 + 1:
        return "UTF-16BE"
    return ""


def similar_names(path: Path) -> str:
    """A hint for a missing file: the folder that was searched, and similar names in it."""
    folder = path.parent
    if not folder.is_dir():
        return f"; the folder {terminal_path(folder)} does not exist"
    searched = f" (looked in {terminal_path(folder.absolute())})"
    # Compare stems: with the suffix, difflib finds all names that end in .csv similar.
    stems: dict[str, list[str]] = {}
    for name in _names(folder):
        stems.setdefault(Path(name).stem.casefold(), []).append(name)
    close = difflib.get_close_matches(path.stem.casefold(), stems, n=3)
    names = [terminal_path(name) for stem in close for name in stems[stem]][:3]
    return searched + (f"; did you mean {' or '.join(names)}?" if names else "")


def _data_files_in(folder: Path) -> str:
    names = [terminal_path(folder / name) for name in _names(folder) if name.endswith((".csv", ".jsonl", ".parquet"))]
    return f"; did you mean {' or '.join(names[:3])}?" if names else ""


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:  # the hint is optional; the missing file is the error
        return []


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)
