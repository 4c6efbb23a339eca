"""Reads the metadata and the list of tensors of a GGUF file, and checks them against the file's length.

The gguf package reads the same, but needs 12 seconds for 262,144 tokens, and does not notice the end of the file: a
damaged length makes it count for hours. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from llmtuner.errors import UserError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
INSTALL = 'pip install "gguf==0.19.0"'
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_ALIGNMENT = 32  # bytes, unless general.alignment says another
_MAX_DIMENSIONS = 8
_NAMES = {str: "a text", int: "a number", bool: "true or false", list: "a list"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a file.

    Args:
        name: llama.cpp's name, such as blk.0.attn_q.weight.
        shape: the fastest dimension first, so [inputs, outputs] of a linear layer.
        kind: the number of its quantisation, as in gguf's GGMLQuantizationType.
        offset: bytes from the start of the tensors' data.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def size(self) -> int:
        """The number of its weights."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class GgufFile:
    """The metadata and the list of tensors of a file.

    Args:
        path: the file.
        values: the metadata: texts, numbers, booleans, and lists of them.
        tensors: in the order of the file.
    """

    path: Path
    values: dict[str, Any]
    tensors: tuple[TensorInfo, ...] = field(default=(), repr=False)

    def get(self, key: str, kind: type[T]) -> T | None:
        """A value; None if the file has none.

        Raises:
            UserError: the value is of another kind.
        """
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise UserError(f"{self.path}: {key} is {str(value)[:40]!r}, expected {_NAMES[kind]}; download it again")
        return value

    def need(self, key: str, kind: type[T]) -> T:
        """A value that the file must have.

        Raises:
            UserError: it is missing or of another kind.
        """
        value = self.get(key, kind)
        if value is None:
            raise UserError(f"{self.path}: has no {key}; convert the original model again with a newer llama.cpp")
        return value

    @property
    def architecture(self) -> str:
        """Such as llama or gemma3."""
        return self.need("general.architecture", str)


def read_gguf(path: Path) -> GgufFile:
    """Read a file's metadata and list of tensors.

    Raises:
        UserError: it does not exist, is no GGUF file, is damaged or cut, or is one of several parts.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; pass the .gguf file in it")
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected a model in GGUF format")
    with path.open("rb") as file:
        start = file.read(4)
        if start != MAGIC:
            begins = f"begins with {start!r}" if start else "is empty"
            raise UserError(f"{path}: is no GGUF file: it {begins}, expected {MAGIC!r}; pass a .gguf file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(path, data)


def _read(path: Path, data: mmap.mmap) -> GgufFile:
    cursor = _Cursor(path, data)
    version = cursor.scalar("I")
    if version not in VERSIONS:
        swapped = int.from_bytes(int(version).to_bytes(4, "little"), "big") in VERSIONS
        reason = "its bytes are in big-endian order" if swapped else f"has version {version} of the format"
        raise UserError(f"{path}: {reason}; expected version 2 or 3, little-endian: convert it with a newer llama.cpp")
    tensor_count, value_count = cursor.scalar("Q"), cursor.scalar("Q")
    values: dict[str, Any] = {}
    for _ in range(value_count):
        key = cursor.text()
        if key in values:
            raise cursor.damaged(f"{key} occurs twice")
        values[key] = cursor.value(cursor.scalar("I"))
    tensors = tuple(_tensor_info(cursor) for _ in range(tensor_count))
    read = GgufFile(path, values, tensors)
    parts = read.get("split.count", int) or 1
    if parts > 1:
        raise UserError(f"{path}: is one of {parts} parts; join them first with llama-gguf-split --merge")
    _check_data(read, cursor)
    return read


def _tensor_info(cursor: _Cursor) -> TensorInfo:
    name = cursor.text()
    dimensions = cursor.scalar("I")
    if dimensions > _MAX_DIMENSIONS:
        raise cursor.damaged(f"tensor {name!r} has {dimensions} dimensions")
    shape = tuple(cursor.scalar("Q") for _ in range(dimensions))
    return TensorInfo(name, shape, cursor.scalar("I"), cursor.scalar("Q"))


def _check_data(read: GgufFile, cursor: _Cursor) -> None:
    """Check that each tensor has a quantisation that gguf knows, and a place of its own within the file."""
    sizes = _block_sizes()
    alignment = read.get("general.alignment", int) or _ALIGNMENT
    start = math.ceil(cursor.position / alignment) * alignment
    end, before = start, ""
    for tensor in sorted(read.tensors, key=lambda each: each.offset):
        if tensor.kind not in sizes:
            raise UserError(f"{read.path}: {tensor.name} has the unknown quantisation {tensor.kind}; try: {INSTALL}")
        if start + tensor.offset < end:
            raise UserError(f"{read.path}: is damaged: {tensor.name} begins within {before}; download or copy it again")
        weights, size = sizes[tensor.kind]
        before, end = tensor.name, start + tensor.offset + tensor.size * size // weights
        if end > len(cursor.data):
            raise UserError(
                f"{read.path}: is cut: it has {len(cursor.data):,} bytes, and {tensor.name} ends at byte {end:,}; "
                "download or copy it again"
            )


def _block_sizes() -> dict[int, tuple[int, int]]:
    """For each quantisation, the weights in a block and its bytes.

    Raises:
        UserError: gguf is not installed.
    """
    try:
        from gguf.constants import GGML_QUANT_SIZES
    except ImportError:
        raise UserError(f"reading GGUF files needs the package gguf; run: {INSTALL}") from None
    return {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items()}


class _Cursor:
    """Reads values one after the other, and never past the end of the file."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.position = path, data, len(MAGIC)

    def damaged(self, problem: str) -> UserError:
        """What is wrong at the current position."""
        return UserError(
            f"{self.path}: is damaged or cut: {problem} at byte {self.position:,} of {len(self.data):,}; "
            "download or copy it again"
        )

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size > len(self.data) - self.position:
            raise self.damaged(f"a value of {size:,} bytes begins")
        start, self.position = self.position, self.position + size
        return self.data[start : self.position]

    def scalar(self, code: str) -> Any:
        """The next number, by struct's code."""
        return struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))[0]

    def text(self) -> str:
        """The next text, with its length in front."""
        content = self.take(self.scalar("Q"))
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise self.damaged("a text that is not UTF-8 ends") from None

    def value(self, kind: int) -> Any:
        """The next value of a kind."""
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self._array(self.scalar("I"), self.scalar("Q"))
        raise self.damaged(f"a value of unknown kind {kind} begins")

    def _array(self, kind: int, length: int) -> list[Any]:
        if kind in _SCALARS:
            code = _SCALARS[kind]
            content = self.take(length * struct.calcsize(f"<{code}"))
            return list(struct.unpack(f"<{length}{code}", content))
        if kind == _STRING:
            return [self.text() for _ in range(length)]
        raise self.damaged(f"a list of lists or of unknown kind {kind} begins")
