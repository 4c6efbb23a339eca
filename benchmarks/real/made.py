"""Sets that are made of others, which have to be written before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from real.planted import write_planted
from real.retrieved import write_corpus_searched, write_qasc_retrieved
from real.sets import Sizes

MADE: dict[str, Callable[[Path, Path, Mapping[str, Sizes]], None]] = {
    "qasc_retrieved": write_qasc_retrieved,
    "corpus": write_corpus_searched,
    "cleaning": write_planted,
}
