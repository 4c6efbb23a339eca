"""The normal form of a text. Two texts are the same if their normal forms are equal.

White space, invisible characters, width and Unicode form do not count. Raised and lowered characters do: 10², 10₂ and
102 are three texts, although NFKC, Unicode's own form, makes them one. Case counts, too (AA, Aa and aa are three
genotypes), unless a caller folds it.

Source: Unicode Standard Annex 15 (NFKC), and Unicode's property Default_Ignorable_Code_Point.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import groupby

from llmtuner.data.words import non_ascii

# Default_Ignorable_Code_Point: zero width, soft hyphen, direction marks, variation selectors, fillers, tags.
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# The flags of England and Scotland are the same black flag, with different tags behind it.
_FLAG_OR_INVISIBLE = re.compile(f"(\U0001f3f4[\U000e0020-\U000e007f]+)|[{_INVISIBLE}]+")
# NFKC makes 51⁄2, which is 25.5, of 5½.
_FRACTION = "\u00bc-\u00be\u2150-\u215e\u2189"
_BESIDE_FRACTION = re.compile(rf"(?<=[\d{_FRACTION}])(?=[{_FRACTION}\u215f])|(?<=[{_FRACTION}])(?=\d)")


def normal_form(text: str) -> str:
    """The text in NFKC, but with its raised and lowered characters, with single spaces, and without invisible ones."""
    return " ".join((text if text.isascii() else _unicode_form(text)).split())


def folded_form(text: str) -> str:
    """The normal form without differences in case."""
    return fold(normal_form(text))


def fold(form: str) -> str:
    """A normal form without differences in case."""
    if form.isascii():  # the same, in half of the time
        return form.lower()
    folded = form.casefold()
    # A folded text may have another normal form, and that form other cases.
    while (again := normal_form(folded).casefold()) != folded:
        folded = again
    return folded


def visible_text(text: str) -> str:
    """The text without invisible characters; control characters stay, as some stand for lost letters."""
    if text.isascii() or _FLAG_OR_INVISIBLE.search(non_ascii(text)) is None:  # most texts, in a hundredth of the time
        return text
    return _FLAG_OR_INVISIBLE.sub(lambda match: match[1] or "", text)


def _unicode_form(text: str) -> str:
    text = visible_text(text)
    if unicodedata.is_normalized("NFKC", text):
        return text
    text = _BESIDE_FRACTION.sub(" ", text)
    if not any(map(_has_raised, text)):
        return unicodedata.normalize("NFKC", text)
    # Raised and lowered characters neither combine nor change places with their neighbours.
    return "".join(
        "".join(map(_raised_form, run)) if has_raised else unicodedata.normalize("NFKC", "".join(run))
        for has_raised, run in groupby(text, _has_raised)
    )


@lru_cache(maxsize=4096)
def _has_raised(char: str) -> bool:
    """Whether a character is raised or lowered, or made of some that are (㎡)."""
    tag, *codes = unicodedata.decomposition(char).split() or [""]
    if tag in ("<super>", "<sub>"):
        return True
    return tag.startswith("<") and any(_has_raised(chr(int(code, 16))) for code in codes)


def _raised_form(char: str) -> str:
    """A raised character itself, or the characters that it is made of: m² for ㎡."""
    tag, *codes = unicodedata.decomposition(char).split()
    return char if tag in ("<super>", "<sub>") else "".join(chr(int(code, 16)) for code in codes)
