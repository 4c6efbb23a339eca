"""Vectors of one part of the chunks, which a killed build need not compute again."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmtuner.files import sha256_of_bytes, write_atomic


def write_part(folder: Path, number: int, vectors_ND: NDArray[np.float32]) -> None:
    """Write a part, then what says that it is whole.

    Raises:
        OSError: it cannot be written.
    """
    buffer = io.BytesIO()
    np.save(buffer, vectors_ND, allow_pickle=False)
    content = buffer.getvalue()
    write_atomic(_vectors(folder, number), content)
    write_atomic(_manifest(folder, number), json.dumps({"sha256": sha256_of_bytes(content)}) + "\n")


def finished_part(folder: Path, number: int, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """The vectors of a part that is whole and has this shape, or None."""
    try:
        manifest = json.loads(_manifest(folder, number).read_bytes())
        content = _vectors(folder, number).read_bytes()
    except (OSError, ValueError):
        return None
    if not isinstance(manifest, dict) or manifest.get("sha256") != sha256_of_bytes(content):
        return None
    vectors_ND: NDArray[np.float32] = np.load(io.BytesIO(content), allow_pickle=False)
    return vectors_ND if vectors_ND.shape == shape and vectors_ND.dtype == np.float32 else None


def _vectors(folder: Path, number: int) -> Path:
    return folder / f"vectors-{number:05}.npy"


def _manifest(folder: Path, number: int) -> Path:
    return folder / f"vectors-{number:05}.json"
