"""Output on consoles that cannot show every character. Standard library only: every package may import it."""

from __future__ import annotations

import io
import sys


def escape_unprintable() -> None:
    r"""Let stdout and stderr write what their encoding lacks as an escape (\\u2192).

    Consoles in GBK, cp1252 or ASCII lack characters of the questions, of the models' names and of upstream's messages.
    Python raises UnicodeEncodeError there, which ended a training after its data had been read.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook's stream is none, and takes every character
            stream.reconfigure(errors="backslashreplace")
