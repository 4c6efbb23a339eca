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
_ASCII = bytes(range(128))
_TOKEN = re.compile(f"{_ONE_WORD}|{_SIGN}")


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    if not text.isascii():
        if any(map(str.isalnum, non_ascii(text).casefold())):
            return _WORD.findall(text.casefold())
        text = text.encode("ascii", "replace").decode()  # quotes and dashes, which stand between words, become "?"
    return text.translate(_ASCII_WORDS).split()  # the same as the pattern, in a fifth of the time


def non_ascii(text: str) -> str:
    """The characters of a text outside ASCII, in their order: to look at few characters instead of many."""
    return text.encode("utf-8", "surrogatepass").translate(None, _ASCII).decode("utf-8", "surrogatepass")


def words_and_signs(text: str) -> list[str]:
    """The words of a text in lower case with its mathematical signs, which tell 7 + 3, 7 - 3 and -3 apart."""
    return cased_words_and_signs(text.casefold())


def cased_words_and_signs(text: str) -> list[str]:
    """The same in the case of the text, which tells the genotypes AA, Aa and aa apart."""
    return _TOKEN.findall(text.replace("−", "-"))
