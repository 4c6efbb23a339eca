"""Which encoding a text has that is not UTF-8, and how to convert it.

charset-normalizer ranks the candidates. Measured on 200 random files of each encoding (tests/data/test_charset.py): of
files with three questions, 85 % (EUC-JP) to 100 % are recognised, and the rest names the right one among two; with
twenty questions all are. Of files with a single question, 94 to 100 % name the right one, and it is often one of two.
So a piece of the text is shown with each name.
"""

from __future__ import annotations

import re
import shlex

from llmtuner.data.problems import quoted, terminal_path

# The candidates by Python's name: iconv's name, and what it is called in a message. A longer list is less often right.
ENCODINGS = {
    "gb18030": ("GB18030", "GB18030 (simplified Chinese; GBK and GB2312 are parts of it)"),
    "big5": ("BIG5", "Big5 (traditional Chinese)"),
    "cp932": ("CP932", "Shift-JIS (Japanese)"),
    "euc_jp": ("EUC-JP", "EUC-JP (Japanese)"),
    "cp949": ("CP949", "CP949 (Korean)"),
    "cp1251": ("CP1251", "Windows-1251 (Cyrillic)"),
    "cp1252": ("CP1252", "Windows-1252 (Western European)"),
    "latin_1": ("LATIN1", "Latin-1 (Western European)"),
}
# Two candidates are both named if their shares of odd characters differ by less, and the second fits a language, too.
_CLOSE, _FITS = 0.03, 0.1
_SAMPLE = 2**20  # bytes that are looked at
_SHOWN = 16  # characters of the text in a message


def conversion(content: bytes, name: str) -> str:
    """The fix for a text that is not UTF-8: what it is likely to be, and the command that converts it.

    Args:
        name: the file's name.
    """
    encodings = likely_encodings(content)
    if not encodings:
        return "its encoding is unknown: save it again as UTF-8 in the program that wrote it"
    ways = [f"{_shown(content, each)}: {command(each, name)}" for each in encodings]
    if len(ways) == 1:
        return f"if it is {ways[0].replace(': iconv', ', convert it: iconv')}"
    return f"which encoding is unsure; choose the one that reads well: {' | '.join(ways)}"


def command(encoding: str, name: str) -> str:
    """The command that converts a file to UTF-8, beside the original."""
    suffix = name[name.index(".", 1) :] if "." in name[1:] else ""
    return f"iconv -f {ENCODINGS[encoding][0]} -t UTF-8 {shlex.quote(terminal_path(name))} > utf8{suffix}"


def likely_encodings(content: bytes) -> list[str]:
    """The likely encodings as Python calls them: one if it is clear, two if they are close, none if unknown.

    The best comes first, and every one decodes the whole content.
    """
    from charset_normalizer import from_bytes

    start = re.search(rb"[\x80-\xff]", content)
    begin = max(start.start() - 1000, 0) if start else 0
    begin = content.rfind(b"\n", 0, begin) + 1  # never within a character
    sample = content[begin : begin + _SAMPLE]
    if len(sample) == _SAMPLE:
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    ranked = [match for match in from_bytes(sample, cp_isolation=list(ENCODINGS)) if _decodes(content, match.encoding)]
    if not ranked:
        return []
    best, text = ranked[0], str(ranked[0])
    rivals = [
        match
        for match in ranked[1:]
        if match.chaos - best.chaos < _CLOSE and match.coherence > best.coherence - _FITS and str(match) != text
    ]
    # Latin-1 is the better known name, and Windows-1252 adds only the bytes from 0x80 to 0x9f.
    western = best.encoding == "cp1252" and not re.search(rb"[\x80-\x9f]", content)
    return ["latin_1" if western else best.encoding, *(match.encoding for match in rivals[:1])]


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _shown(content: bytes, encoding: str) -> str:
    """The encoding's name, with the first text outside ASCII as it then reads."""
    text = content.decode(encoding)
    first = re.search(r"\w*[^\x00-\x7f]", text)
    place = first.start() if first else 0
    return f"{ENCODINGS[encoding][1]}, in which it reads {quoted(text[place : place + _SHOWN])}"
