"""Puts overlapping chunks of one document together again, so that no sentence stands twice."""

from __future__ import annotations

from collections.abc import Sequence

from llmtuner.retrieval.leaks import compared_words

_STOPS = frozenset(".!?…。！？｡．।॥؟۔")
_CLOSERS = "\"'”’»)]}」』）》〉】］｝〕"
_HEAD = 2  # characters by which an overlap is looked for: the shortest sentence is a Chinese character and a stop


def overlap(first: str, second: str) -> int:
    """How many characters of `second` are the end of `first`: whole sentences, as many as possible; 0 if none.

    Args:
        first, second: texts of chunks of one document, in its order.
    """
    head = second[:_HEAD]
    place = first.find(head) if head else -1
    while place >= 0:
        size = len(first) - place
        if second.startswith(first[place:]) and _ends_a_sentence(second, size):
            return size
        place = first.find(head, place + 1)
    return 0


def join(first: str, second: str) -> str | None:
    """Two overlapping texts as one; None if they do not overlap."""
    size = overlap(first, second)
    return first + second[size:] if size else None


def surroundings(texts: Sequence[str], place: int, words: int) -> tuple[str, str]:
    """The text of a document before and after one of its chunks, as far as its chunks hold it.

    Args:
        texts: chunks of one document, in its order; those far away from `place` may be missing.
        place: the chunk's place in `texts`.
        words: how many the leak guard needs on each side; more may be returned.
    """
    before, size = "", 0
    following = texts[place]
    for text in reversed(texts[:place]):
        if size >= words:
            break
        part = text[: len(text) - overlap(text, following)].rstrip()
        before = f"{part} {before}" if before else part
        size += len(compared_words(part))
        following = text
    after, size = "", 0
    previous = texts[place]
    for text in texts[place + 1 :]:
        if size >= words:
            break
        part = text[overlap(previous, text) :].lstrip()
        after = f"{after} {part}" if after else part
        size += len(compared_words(part))
        previous = text
    return before, after


def _ends_a_sentence(text: str, size: int) -> bool:
    """Whether a sentence may end behind so many characters: at a stop, or at the end of a line."""
    last = text[:size].rstrip(_CLOSERS)[-1:]
    return size == len(text) or last in _STOPS or text[size] in "\n\r\x0b\x0c\x85\u2028\u2029"
