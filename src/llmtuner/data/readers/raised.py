"""Raised and lowered characters of an Excel workbook, which are a format there: written as Unicode has them, 10².

Without this, openpyxl reads 10² as 102, which is another number.
"""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from typing import Literal

# The characters that mean raised or lowered text; others, such as ª and ™, have the same decomposition.
_CODES = (0xB2, 0xB3, 0xB9, *range(0x1D2C, 0x1D6B), *range(0x1D9B, 0x1DC0), *range(0x2070, 0x209D), 0x2C7C)
_RUN = re.compile(rb"<(?:\w+:)?r>.*?</(?:\w+:)?r>", re.DOTALL)
_PLACE = re.compile(rb"""<(?:\w+:)?vertAlign\s+val\s*=\s*["'](superscript|subscript)["']""")
_TEXT = re.compile(rb"(<(?:\w+:)?t(?:\s[^>]*)?>)([^<]*)(?=</)")
PLAIN = "\ufdd0"  # stands before a run that Unicode cannot write; it is no character, and kept for use within programs


def _table(place: Literal["super", "sub"]) -> dict[int, str]:
    pairs = ((unicodedata.decomposition(chr(code)).split(), chr(code)) for code in _CODES)
    of_place = {int(parts[1], 16): char for parts, char in pairs if len(parts) == 2 and parts[0] == f"<{place}>"}
    minus = of_place[0x2212]
    return {ord("-"): minus, ord("\u2013"): minus, ord(" "): " ", **of_place}


_TABLES = {b"superscript": _table("super"), b"subscript": _table("sub")}


def with_raised_characters(content: bytes) -> bytes:
    """The workbook with ² for a raised 2 and ₂ for a lowered one, and `PLAIN` before runs that Unicode cannot write.

    Raises:
        zipfile.BadZipFile, OSError, ...: as zipfile does for a damaged workbook.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        changed = {}
        for name in archive.namelist():
            if name == "xl/sharedStrings.xml" or name.startswith("xl/worksheets/"):
                part = archive.read(name)
                if b"vertAlign" in part:  # rare; all other workbooks stay as they are
                    changed[name] = _RUN.sub(_run, part)
        return _replaced(archive, changed) if changed else content


def _run(match: re.Match[bytes]) -> bytes:
    """A run of text with one format, with its characters raised or lowered."""
    run = match[0]
    place = _PLACE.search(run)
    return run if place is None else _TEXT.sub(lambda text: text[1] + _written(text[2], _TABLES[place[1]]), run)


def _written(content: bytes, table: dict[int, str]) -> bytes:
    text = content.decode("utf-8", "surrogateescape")
    written = text.translate(table) if all(ord(char) in table for char in text) else PLAIN + text
    return written.encode("utf-8", "surrogateescape")


def _replaced(archive: zipfile.ZipFile, changed: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as copy:
        for name in archive.namelist():
            copy.writestr(name, changed[name] if name in changed else archive.read(name))
    return out.getvalue()
