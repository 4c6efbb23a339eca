"""Values separated by tabs, as spreadsheets and pandas write them: quotes as in CSV, UTF-8, every cell unchanged."""

from __future__ import annotations

from pathlib import Path

from llmtuner.data.problems import terminal_path
from llmtuner.data.readers.csv_file import parse as parse_csv
from llmtuner.data.sniff import read_text
from llmtuner.data.table import Table


def read(path: Path) -> Table:
    """Read a TSV file strictly; empty lines are skipped.

    Raises:
        DataError: as for CSV.
    """
    return parse(read_text(path), terminal_path(path))


def parse(text: str, file: str) -> Table:
    """The same for a text.

    Args:
        file: its name for messages.
    """
    return parse_csv(text, file, separator="\t")
