"""What a file really is, whatever its name says."""

from __future__ import annotations

import difflib
from pathlib import Path

from llmtuner.errors import DataError

_MAGIC = {
    b"PK\x03\x04": ("a zip archive (or an Excel workbook)", "unpack it, or export the sheet as CSV UTF-8"),
    b"\x1f\x8b": ("a gzip archive", "unpack it with gunzip"),
    b"PAR1": ("a Parquet file", "rename it to .parquet"),
}
_LFS = b"version https://git-lfs.github.com"
_PAGE = (b"<!doctype html", b"<html", b"<head", b"<?xml")


def read_bytes(path: Path, *, magic: bytes | None = None) -> bytes:
    """The content of a data file that is what it is taken for.

    Args:
        magic: how a file of the expected type begins; None for text.

    Raises:
        DataError: no such file, a folder, unreadable, empty, or a web page, Git LFS pointer or archive by another name.
    """
    if not path.exists():
        raise DataError(f"{path}: not found{_near(path)}")
    if path.is_dir():
        raise DataError(f"{path}: is a folder, a file is needed")
    if not path.is_file():
        raise DataError(f"{path}: is not a regular file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if not content:
        raise DataError(f"{path}: is empty (0 bytes); download it again")
    start = content[:400].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.lower().startswith(_PAGE):
        raise DataError(
            f"{path}: is a web page, not data; sign in, accept the competition's rules and download it again"
        )
    if start.startswith(_LFS):
        raise DataError(f"{path}: is a Git LFS pointer, not the data; run: git lfs pull")
    if magic is not None and not content.startswith(magic):
        raise DataError(f"{path}: does not begin as a {path.suffix} file does; download it again, or rename it")
    for mark, (name, fix) in _MAGIC.items():
        if magic is None and content.startswith(mark):
            raise DataError(f"{path}: is {name}, not {path.suffix[1:].upper()}; {fix}")
    return content


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises:
        DataError: as `read_bytes`, or another encoding (with the place of the first byte that is not UTF-8).
    """
    content = read_bytes(path)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or content[:2000].count(0) > len(content[:2000]) // 4:
        raise DataError(f"{path}: is UTF-16, UTF-8 is needed; convert it: iconv -f UTF-16 -t UTF-8 {path.name}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: is not UTF-8 at byte {error.start} (0x{content[error.start]:02x}); "
            f"if it is Latin-1, convert it: iconv -f LATIN1 -t UTF-8 {path.name}"
        ) from error


def _near(path: Path) -> str:
    folder = path.parent
    names = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
    if not names:
        return f"; there is no folder {folder}" if not folder.is_dir() else ""
    near = difflib.get_close_matches(path.name, names, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
