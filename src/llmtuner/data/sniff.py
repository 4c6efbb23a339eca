"""What a file really is, whatever its name says."""

from __future__ import annotations

import difflib
import os
import shlex
import stat
from pathlib import Path

from llmtuner.data.problems import terminal_path
from llmtuner.errors import DataError

_WORKBOOK_IS, _EXPORT = "an Excel workbook", "export the sheet as CSV UTF-8"
# How other files begin: what it is, and what to do about it. A workbook is a zip archive, so it is told apart below.
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
_WORKBOOK = (b"[Content_Types].xml", b"xl/")  # names of the parts of an .xlsx
_LFS = b"version https://git-lfs.github.com"
_PAGE = (b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml", b"<!--")
_BOM = b"\xef\xbb\xbf"


def file_status(path: Path) -> os.stat_result:
    """The status of a regular file.

    Raises:
        DataError: no such file (with near names), a folder, something else that is no file, or no way to it.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{terminal_path(path)}: not found{_near(path)}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise DataError(f"{terminal_path(path)}: cannot be read: {_reason(error)}") from error
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"{terminal_path(path)}: is a folder (directory), a file is needed{_inside(path)}")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{terminal_path(path)}: is not a regular file; copy its content into one")
    return status


def read_bytes(path: Path, *, magic: bytes | None = None) -> bytes:
    """The content of a data file that is what it is taken for.

    Args:
        magic: how a file of the expected type begins; None for text.

    Raises:
        DataError: no such file, a folder, unreadable, empty, or a web page, Git LFS pointer or archive by another name.
    """
    file_status(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{terminal_path(path)}: cannot be read: {_reason(error)}; check its permissions") from error
    what = "is empty (0 bytes); download it again" if not content else _disguise(content, path.suffix, magic)
    if what:
        raise DataError(f"{terminal_path(path)}: {what}")
    return content


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises:
        DataError: as `read_bytes`, or another encoding (with the place of the first byte that is not UTF-8).
    """
    content = read_bytes(path)
    quoted = shlex.quote(terminal_path(path.name))
    if name := _utf16(content):
        convert = f"iconv -f {name} -t UTF-8 {quoted} > utf8{path.suffix}"
        raise DataError(f"{terminal_path(path)}: is {name}, UTF-8 is needed; convert it: {convert}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The BOM is taken off before decoding: without it the place would be three bytes short.
        start = error.start + (len(_BOM) if content.startswith(_BOM) else 0)
        line = content.count(b"\n", 0, start) + 1
        fix = f"if it is Latin-1, convert it: iconv -f LATIN1 -t UTF-8 {quoted} > utf8{path.suffix}"
        if error.reason == "unexpected end of data":
            fix = "it ends within a character: download it again"
        raise DataError(
            f"{terminal_path(path)}:{line}: is not UTF-8 at byte {start} (0x{content[start]:02x}), UTF-8 is needed; "
            f"{fix}"
        ) from error


def _disguise(content: bytes, suffix: str, magic: bytes | None) -> str:
    """What the file is instead of what its name says, and what to do; "" if it may be what it says."""
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
        return f"is not {kind}: it does not begin as such a file does; download it again, or rename it"
    return ""


def _utf16(content: bytes) -> str:
    """The name of a UTF-16 or UTF-32 encoding, recognised by its mark or by the zeros of Western text; else ""."""
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


def _near(path: Path) -> str:
    """What the user may have meant by a name that is not there."""
    folder = path.parent
    if not folder.is_dir():
        return f"; there is no folder {terminal_path(folder)}"
    where = f" (looked in {terminal_path(folder.absolute())})"
    # By stem, since all names that end in .csv are alike to difflib.
    stems: dict[str, list[str]] = {}
    for name in _names(folder):
        stems.setdefault(Path(name).stem.casefold(), []).append(name)
    near = difflib.get_close_matches(path.stem.casefold(), stems, n=3)
    names = [terminal_path(name) for stem in near for name in stems[stem]][:3]
    return where + (f"; did you mean {' or '.join(names)}?" if names else "")


def _inside(folder: Path) -> str:
    names = [terminal_path(folder / name) for name in _names(folder) if name.endswith((".csv", ".jsonl", ".parquet"))]
    return f"; did you mean {' or '.join(names[:3])}?" if names else ""


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:  # a hint is not worth a second message
        return []


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)
