"""Weight files of a folder, read without torch: their names, the tensors in them, and a fingerprint of a base model."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.errors import UserError
from llmtuner.files import sha256_of_file
from llmtuner.spec.model_files import MODEL_FILES, VOCABULARY_FILES

INDEX = "model.safetensors.index.json"
REPLACED = "replaced-"  # what a new run puts before the names of an earlier run's files
_MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors format
_SAMPLE = 4096  # bytes of each tensor that enter the fingerprint


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a safetensors file: its place in bytes, from the beginning of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    start: int
    end: int


def weight_files(folder: str | os.PathLike[str]) -> list[Path]:
    """The safetensors files of a folder, without those of a replaced run, by name."""
    return sorted(path for path in Path(folder).glob("*.safetensors") if not path.name.startswith(REPLACED))


def files_of_model(folder: str | os.PathLike[str]) -> list[str]:
    """The names of a folder's weights, and of the other files that a model or an adapter is loaded with."""
    weights = [path.name for path in weight_files(folder)]
    return [*weights, *(name for name in MODEL_FILES if (Path(folder) / name).is_file())]


def stored_tensors(path: Path) -> Iterator[StoredTensor]:
    """The tensors of a safetensors file, from its header alone.

    Raises:
        UserError: the file is cut or damaged, or it is no safetensors file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = _header_length(path, file.read(8), size)
        header = _header(path, file.read(length))
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            start, end = (8 + length + int(offset) for offset in entry["data_offsets"])
            tensor = StoredTensor(name, str(entry["dtype"]), tuple(map(int, entry["shape"])), path, start, end)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: damaged: its header has no place for {name!r}; copy the file again") from error
        if not 8 + length <= start <= end <= size:
            raise UserError(
                f"{path}: cut off: {size:,} bytes, and its header places {name} at {end:,}; copy the file again"
            )
        yield tensor


def base_fingerprint(folder: str | os.PathLike[str]) -> str:
    """SHA-256 over name, dtype, shape and 4 KiB from the middle of every tensor of a model, as hexadecimal digits.

    A copied or moved folder has the same fingerprint, and so has a model that is split into other files. "" if the
    folder has no safetensors files.

    Raises:
        UserError: a file is damaged.
    """
    tensors = [tensor for path in weight_files(folder) for tensor in stored_tensors(path)]
    if not tensors:
        return ""
    digest = hashlib.sha256()
    for tensor in sorted(tensors, key=lambda each: each.name):
        digest.update(json.dumps([tensor.name, tensor.dtype, tensor.shape]).encode())
        with tensor.path.open("rb") as file:
            middle = (tensor.start + tensor.end) // 2
            start = max(tensor.start, middle - _SAMPLE // 2)
            file.seek(start)
            digest.update(file.read(min(_SAMPLE, tensor.end - start)))
    return digest.hexdigest()


def vocabulary_digest(folder: str | os.PathLike[str]) -> str:
    """Name and SHA-256 of the file that says how a tokenizer splits text; "" if the folder has none."""
    path = next((Path(folder) / name for name in VOCABULARY_FILES if (Path(folder) / name).is_file()), None)
    return "" if path is None else f"{path.name}:{sha256_of_file(path)}"


def same_tokenizer(first: str, second: str) -> bool:
    """Whether two digests may be of one tokenizer: those of differently named files cannot tell."""
    return first.partition(":")[0] != second.partition(":")[0] or first == second


def _header_length(path: Path, first: bytes, size: int) -> int:
    if len(first) < 8:
        raise UserError(f"{path}: cut off: {size:,} bytes are no safetensors file; copy the file again")
    if first.startswith(b"version "):
        raise UserError(f"{path}: a Git LFS pointer, not the weights; run: git lfs pull")
    (length,) = struct.unpack("<Q", first)
    if length > _MAX_HEADER:
        raise UserError(f"{path}: no safetensors file: its header would have {length:,} bytes; copy the file again")
    if 8 + length > size:
        raise UserError(f"{path}: cut off: {size:,} bytes, and its header alone has {length:,}; copy the file again")
    return length


def _header(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged: its header is not JSON; copy the file again") from error
    if not isinstance(header, dict):
        raise UserError(f"{path}: damaged: its header is no object; copy the file again")
    return header
