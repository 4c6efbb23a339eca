"""The readers, one for each file type: a path in, numbered records out. CONTRIBUTING.md says how to add one."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from llmtuner.data.expand import COMPRESSIONS
from llmtuner.data.problems import render_problems, terminal_path
from llmtuner.data.readers import arrow_file, csv_file, json_file, jsonl_file, parquet_file, tsv_file, xlsx_file
from llmtuner.data.readers.parts import joined
from llmtuner.data.sniff import WrongType, read_text, split_suffix
from llmtuner.data.table import Table
from llmtuner.errors import DataError

READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": csv_file.read,
    ".tsv": tsv_file.read,
    ".jsonl": jsonl_file.read,
    ".json": json_file.read,
    ".parquet": parquet_file.read,
    ".arrow": arrow_file.read,
    ".xlsx": xlsx_file.read,
}
# The text formats: (text, the file's name for messages) in, the same table out. These may be compressed.
PARSERS: dict[str, Callable[[str, str], Table]] = {
    ".csv": csv_file.parse,
    ".tsv": tsv_file.parse,
    ".jsonl": jsonl_file.parse,
    ".json": json_file.parse,
}
# Suffixes of other types, with the fix.
_OTHERS = {
    ".zip": "unpack it: unzip {name}",
    ".bz2": "unpack it: bunzip2 {name}",
    ".xz": "unpack it: unxz {name}",
    ".7z": "unpack it: 7z x {name}",
    ".xls": "save it as .xlsx, or export the sheet as CSV UTF-8",
    ".xlsm": "save it as .xlsx, or export the sheet as CSV UTF-8",
    ".xlsb": "save it as .xlsx, or export the sheet as CSV UTF-8",
    ".ods": "save it as .xlsx, or export it as CSV UTF-8",
    **dict.fromkeys((".ndjson", ".jsonlines", ".jl"), "rename it to .jsonl"),
    ".pkl": "it may run any code when it is opened; write the table as Parquet or JSONL",
}


def read_table(files: tuple[Path, ...], path: Path) -> Table:
    """Read the files of one table, each with the reader of its suffix.

    Args:
        files: one file, or the parts of a data set in their order.
        path: the file, or the folder that they stand for.

    Raises:
        DataError: unknown type, unreadable, or parts with different columns.
    """
    return _read_one(files[0]) if len(files) == 1 else joined([(file, _read_one(file)) for file in files], path)


def _read_one(path: Path) -> Table:
    suffix, compression = split_suffix(path)
    if suffix not in READERS or (compression and suffix not in PARSERS):
        known = f"use one of {', '.join(READERS)} (texts also with {' or '.join(COMPRESSIONS)})"
        fix = _OTHERS.get(path.suffix.lower(), known).format(name=shlex.quote(terminal_path(path.name)))
        raise DataError(f"{terminal_path(path)}: unknown file type {path.suffix!r}; {fix}")
    try:
        return READERS[suffix](path)
    except WrongType as error:
        raise DataError(f"{error}; {_rename(path, error.suffixes)}") from error


def _rename(path: Path, suffixes: tuple[str, ...]) -> str:
    """The advice to rename a file, if it can then be read; else why it cannot."""
    reasons = []
    for suffix in suffixes:
        try:
            table = _read_as(path, suffix)
        except DataError as error:
            reasons.append(f"as {suffix} it is not readable either: {error}")
            continue
        if table.records and not table.problems:
            return f"rename it to {suffix}"
        defect = render_problems(table.problems[:1]) if table.problems else "it has no rows"
        reasons.append(f"as {suffix} it is not readable either: {defect}")
    return "; ".join(reasons[:1]) or "download it again"


def _read_as(path: Path, suffix: str) -> Table:
    """The table that the file would be under another suffix."""
    type_suffix, compression = split_suffix(Path(f"renamed{suffix}"))
    if type_suffix in PARSERS:
        return PARSERS[type_suffix](read_text(path, compression), terminal_path(path))
    return READERS[type_suffix](path)
