"""Predicates on the wording of questions and options: cues that give the answer away, and defects."""

from __future__ import annotations

import re
from functools import lru_cache

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
_DIGIT = re.compile("[0-9]")
_PASSAGE = re.compile(
    r"\b(?:the|this)\s+(?:\w+\s+){0,2}(?:excerpt|passage(?!\s+of))\b"
    r"|\bthe\s+(?:provided|given)\s+(?:\w+\s+)?(?:text|information|context|article|paragraph)\b"
    r"|\baccording\s+to\s+the\s+(?:\w+\s+)?(?:text|article|paragraph)\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=64)  # a shortcut and a feature of the same options, one after the other
def of_the_above(option: str) -> bool:
    """Whether an option only refers to other options: "None of the above.", "Both A and B"."""
    return _OF_THE_ABOVE.fullmatch(option) is not None


def has_digits(option: str) -> bool:
    """Whether an option has a digit of any script."""
    return _DIGIT.search(option) is not None if option.isascii() else any(char.isdigit() for char in option)


def needs_passage(prompt: str) -> bool:
    """Whether a prompt refers to a passage that it does not contain: "... according to the provided excerpt?"."""
    return "\n" not in prompt.strip() and _PASSAGE.search(prompt) is not None


def body(prompt: str) -> str:
    """A prompt without a leading label such as "Question: "."""
    return _LABEL.sub("", prompt, count=1) if _LABEL.match(prompt) else prompt
