"""What the wording of questions and options gives away, one predicate each."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmtuner.data.question import LETTERS

_LABEL = re.compile(r"\s*(question|prompt|query|q)\b[\s\d]*[:.)\-]*\s*", re.IGNORECASE)
_ONE = r"(?:options?|choices?|answers?)?\s*[(\[]?[a-j][)\]]?"
_OF_THE_ABOVE = re.compile(
    rf"""\s*(?:
        (?:all|none|both|neither|any|two)\s+(?:of\s+)?(?:the|these|those)\b
            (?:\s+(?:above|other|listed|given|mentioned|following|options?|choices?|answers?|statements?|are|is|apply
            |correct|true|false|right|wrong))*
      | (?:all|none|both|neither)\s+(?:above|(?:are|is)\s+(?:correct|true|right|false|wrong))
      | both\s+{_ONE}\s*(?:and|&)\s*{_ONE}(?:\s+(?:are|is)\s+(?:correct|true|right))?
      | neither\s+{_ONE}\s*nor\s+{_ONE}
    )\s*[.!]?\s*""",
    re.IGNORECASE | re.VERBOSE,
)
_MARK = re.compile(r"\s*[(\[]?([A-Ja-j])([)\].:])\s*(?!\w\.)(?=\S)")
_PASSAGE = re.compile(
    r"\b(?:the|this)\s+(?:\w+\s+){0,2}(?:excerpt|passage(?!\s+of))\b"
    r"|\bthe\s+(?:provided|given)\s+(?:\w+\s+)?(?:text|information|context|article|paragraph)\b"
    r"|\baccording\s+to\s+the\s+(?:\w+\s+)?(?:text|article|paragraph)\b",
    re.IGNORECASE,
)


def of_the_above(option: str) -> bool:
    """Whether an option is about the others and nothing more: "None of the above.", "Both A and B"."""
    return _OF_THE_ABOVE.fullmatch(option) is not None


def has_letters(options: Sequence[str]) -> bool:
    """Whether options begin with a letter as in an exam: "A) mitosis", "(b) meiosis", "C. both".

    A letter with a point begins names, too (E. coli), so most options must begin with the letters of their own places.
    """
    marks = [_MARK.match(option) for option in options]
    found = [(LETTERS[place], mark[1].upper(), mark[2]) for place, mark in enumerate(marks) if mark]
    own = sum(place == letter for place, letter, _ in found)
    brackets = [letter for _, letter, sign in found if sign in ")]"]
    return (own >= 2 and own * 2 > len(options)) or len(set(brackets)) >= 2


def needs_passage(prompt: str) -> bool:
    """Whether a prompt asks about a text that it does not bring: "... according to the provided excerpt?"."""
    return "\n" not in prompt.strip() and _PASSAGE.search(prompt) is not None


def body(prompt: str) -> str:
    """A prompt without labels before it: "Question: " is none."""
    return _LABEL.sub("", prompt, count=1) if _LABEL.match(prompt) else prompt
