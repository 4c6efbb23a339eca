"""The readers, one for each file type: a path in, numbered records out. CONTRIBUTING.md says how to add one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from llmtuner.data.readers import csv_file, json_file, jsonl_file, parquet_file
from llmtuner.data.table import Table

READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": csv_file.read,
    ".jsonl": jsonl_file.read,
    ".json": json_file.read,
    ".parquet": parquet_file.read,
}
