"""Check that a file is what its name says, and read it."""

from __future__ import annotations

import difflib
import os
import shlex
import stat
from pathlib import Path

from llmtuner.data.problems import terminal_path
from llmtuner.errors import DataError

_WORKBOOK_IS, _EXPORT = "an Excel workbook", "export the sheet as CSV UTF-8"
# The first bytes of other file types, with a name and a fix. A workbook is a zip archive, so it needs a closer look.
_MAGIC = {
    b"PK\x03\x04": ("a zip archive", "unpack it"),
    b"PK\x05\x06": ("an empty zip archive", "download it again"),
    b"\x1f\x8b": ("a gzip archive", "unpack it with gunzip"),
    b"BZh": ("a bzip2 archive", "unpack it with bunzip2"),
    b"\xfd7zXZ": ("an xz archive", "unpack it with unxz"),
    b"7z\xbc\xaf": ("a 7z archive", "unpack it"),
    b"\xd0\xcf\x11\xe0": (_WORKBOOK_IS, _EXPORT),
    b"PAR1": ("a Parquet file", "rename it to .parquet"),
    b"ARROW1": ("an Arrow file", "write it as Parquet"),
    b"%PDF": ("a PDF document", "download the data file itself"),
}
_WORKBOOK = (b"[Content_Types].xml", b"xl/")  # names of parts of an .xlsx
_LFS = b"version https://git-lfs.github.com"
_PAGE = (b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml", b"<!--")
_BOM = b"\xef\xbb\xbf"


def file_status(path: Path) -> os.stat_result:
    """The status of a regular file.

    Raises:
        DataError: no such file (with similar names), a folder, another kind of entry, or no access.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{terminal_path(path)}: not found{_similar_names(path)}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise DataError(f"{terminal_path(path)}: cannot be read: {_reason(error)}") from error
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"{terminal_path(path)}: is a folder (directory), expected a file{_data_files_in(path)}")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{terminal_path(path)}: is not a regular file; copy its content to a regular file")
    return status


def read_bytes(path: Path, *, magic: bytes | None = None) -> bytes:
    """The content of a data file, after a check of its type.

    Args:
        magic: the first bytes of the expected type; None for text.

    Raises:
        DataError: missing, a folder, unreadable, empty, or a web page, Git LFS pointer or archive with a wrong suffix.
    """
    file_status(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{terminal_path(path)}: cannot be read: {_reason(error)}; check its permissions") from error
    defect = _type_mismatch(content, path.suffix, magic) if content else "is empty (0 bytes); download it again"
    if defect:
        raise DataError(f"{terminal_path(path)}: {defect}")
    return content


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises:
        DataError: as in `read_bytes`, or another encoding (with the position of the first byte that is not UTF-8).
    """
    content = read_bytes(path)
    shell_name = shlex.quote(terminal_path(path.name))
    if name := _utf16(content):
        convert = f"iconv -f {name} -t UTF-8 {shell_name} > utf8{path.suffix}"
        raise DataError(f"{terminal_path(path)}: is {name}, expected UTF-8; convert it: {convert}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The decoder removes the BOM first, so its positions are three bytes too small.
        start = error.start + (len(_BOM) if content.startswith(_BOM) else 0)
        line = content.count(b"\n", 0, start) + 1
        fix = f"if it is Latin-1, convert it: iconv -f LATIN1 -t UTF-8 {shell_name} > utf8{path.suffix}"
        if error.reason == "unexpected end of data":
            fix = "it ends in the middle of a character: download it again"
        raise DataError(
            f"{terminal_path(path)}:{line}: is not UTF-8 at byte {start} (0x{content[start]:02x}), expected UTF-8; "
            f"{fix}"
        ) from error


def _type_mismatch(content: bytes, suffix: str, magic: bytes | None) -> str:
    """The file's actual type and the fix, or "" if its name may be right."""
    start = content[:1000].removeprefix(_BOM).lstrip()
    if start.lower().startswith(_PAGE):
        return "is a web page, not data; sign in, accept the competition's rules and download it again"
    if start.startswith(_LFS):
        return "is a Git LFS pointer, not the data; run: git lfs pull"
    if magic is not None and content.startswith(magic):
        return ""
    kind = suffix[1:].upper() if magic is None else suffix[1:].capitalize()
    for mark, (name, fix) in _MAGIC.items():
        if content.startswith(mark):
            workbook = mark == b"PK\x03\x04" and any(part in content for part in _WORKBOOK)
            return f"is {_WORKBOOK_IS if workbook else name}, not {kind}; {_EXPORT if workbook else fix}"
    if magic is not None:
        return f"is not {kind}: its first bytes are wrong; download it again, or rename it"
    return ""


def _utf16(content: bytes) -> str:
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


def _similar_names(path: Path) -> str:
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
