"""Suggests the known name that a mistyped name most likely stands for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# difflib's usual 0.6 gives random guesses for short flag names; 0.7 still finds one wrong letter in five.
_CUTOFF = 0.7


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, or None. Dashes, underscores and case are ignored.

    An abbreviation of exactly one known name (`lora_ran`, `temp`) counts as close.
    """
    originals = {_plain(candidate): candidate for candidate in sorted(known)}
    plain_name = _plain(name)
    longer = [plain for plain in originals if plain_name and plain.startswith(plain_name)]
    if plain_name in originals or len(longer) == 1:
        return originals.get(plain_name) or originals[longer[0]]
    close = difflib.get_close_matches(plain_name, list(originals), n=1, cutoff=_CUTOFF)
    return originals[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean X?` with a leading space, to append to a message; "" if no known name is close."""
    match = nearest(name, known)
    return f" Did you mean {match}?" if match is not None else ""


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_").casefold()
