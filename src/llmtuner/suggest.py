"""The known name that a mistyped one most likely meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Below difflib's usual 0.6 the guesses for short flag names become noise; 0.7 still finds one slip in five letters.
_CUTOFF = 0.7


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, dashes, underscores and case aside, or None when nothing is close.

    An abbreviation of exactly one known name (`lora_ran`, `temp`) counts as close.
    """
    originals = {_plain(candidate): candidate for candidate in sorted(known)}
    wanted = _plain(name)
    longer = [plain for plain in originals if wanted and plain.startswith(wanted)]
    if wanted in originals or len(longer) == 1:
        return originals.get(wanted) or originals[longer[0]]
    close = difflib.get_close_matches(wanted, list(originals), n=1, cutoff=_CUTOFF)
    return originals[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean X?` with its leading blank, to append to a message; empty when nothing is close."""
    match = nearest(name, known)
    return f" Did you mean {match}?" if match is not None else ""


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_").casefold()
