"""How long a text is, in words: for chunks and for the budget of a context.

A word stands between blanks. Each character of a Chinese, Japanese or Korean text counts as a word, as in
`llmtuner.data.words`: most tokenizers make about one token of it. A run of characters without a blank (a formula, an
address, Thai) counts as one word for every 16 characters that it begins, so that no text can be long without words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from llmtuner.data.words import CJK

_LONGEST = 16  # characters
_WORD = re.compile(rf"[{CJK}][^\w\s]{{0,{_LONGEST}}}|[^\s{CJK}]{{1,{_LONGEST}}}")
_CJK = re.compile(f"[{CJK}]")


def length(text: str) -> int:
    """The number of words. That of two texts joined is at most the sum of theirs."""
    words = text.split()
    is_usual = (text.isascii() or _CJK.search(text) is None) and max(map(len, words), default=0) <= _LONGEST
    return len(words) if is_usual else sum(1 for _ in _WORD.finditer(text))


def word_starts(text: str) -> Iterator[int]:
    """Where each word begins."""
    return (match.start() for match in _WORD.finditer(text))
