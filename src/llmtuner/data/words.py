"""Splits text into words. All modules that compare or count words use this splitter."""

from __future__ import annotations

import re

# Chinese, Japanese and Korean are written without spaces: each character counts as a word.
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_ONE_WORD = rf"[{CJK}]|[^\W{CJK}]+"
_LETTER = r"[^\W\d_]"
# A hyphen between two letters joins them (gamma-ray); anywhere else it may be a minus sign.
_SIGN = rf"[+*/<>=^±×÷≤≥≠≈√]|(?<!{_LETTER})-|-(?!{_LETTER})"
_WORD = re.compile(_ONE_WORD)
_ASCII_WORDS = "".join(char.lower() if char.isalnum() or char == "_" else " " for char in map(chr, range(128)))
_TOKEN = re.compile(f"{_ONE_WORD}|{_SIGN}")


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    if text.isascii():  # the same, in a third of the time
        return text.translate(_ASCII_WORDS).split()
    return _WORD.findall(text.casefold())


def words_and_signs(text: str) -> list[str]:
    """The words of a text in lower case with its mathematical signs, which tell 7 + 3, 7 - 3 and -3 apart."""
    return cased_words_and_signs(text.casefold())


def cased_words_and_signs(text: str) -> list[str]:
    """The same in the case of the text, which tells the genotypes AA, Aa and aa apart."""
    return _TOKEN.findall(text.replace("−", "-"))
