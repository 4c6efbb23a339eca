"""The --out of a script that writes a prediction: checked, and held while the script works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmtuner.data.prediction_files import check_out
from llmtuner.runs.lock import check_lock, locked


@contextmanager
def prediction_out(out: Path, *, overwrite: bool) -> Iterator[None]:
    """Hold the folder for a prediction from before the work to its last file.

    Two scripts with one --out would mix their files; and the second shall not find that out after hours of scoring.

    Raises:
        UserError: another process writes to it; it is a file; or it is not empty, and `overwrite` is not set.
    """
    check_lock(out, flag="--out")  # first: "not empty" would be said of what the other one has written so far
    check_out(out, overwrite=overwrite)
    with locked(out, flag="--out"):
        yield
