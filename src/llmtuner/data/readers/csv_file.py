"""CSV as Excel, pandas and Kaggle write it: comma, double quotes, UTF-8; every cell is text and stays as it is."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from llmtuner.data.problems import Problem, shown
from llmtuner.data.readers.table import Record, Table
from llmtuner.data.sniff import read_text
from llmtuner.errors import DataError

MAX_FIELD = 1_000_000  # characters


def read(path: Path) -> Table:
    """Read a CSV file strictly.

    Raises:
        DataError: it is no UTF-8 text, another separator, or a header that names a column twice.
    """
    file = str(path)
    rows, problems = _rows(read_text(path), file)
    if not rows:
        raise DataError(str(problems[0]) if problems else f"{path}: has no header and no rows")
    header = rows[0][1]
    _check_separator(header, file)
    named = _header(header, file, problems)
    records: list[Record] = []
    misfits: list[Problem] = []
    for line, cells in rows[1:]:
        if len(cells) == len(header):
            records.append((line, {name: cells[place] for place, name in named.items()}))
        else:
            what = f"{len(cells)} fields, the header has {len(header)}"
            misfits.append(Problem(file, line, what, "quote texts that hold a comma"))
    if misfits and not records and all(len(cells) == len(header) + 1 for _, cells in rows[1:]):
        what = f"every row has {len(header) + 1} fields, the header has {len(header)}"
        misfits = [Problem(file, rows[1][0], what, "take away the comma at the end of each row")]
    return Table(tuple(named.values()), records, [*problems, *misfits])


def _rows(text: str, file: str) -> tuple[list[tuple[int, list[str]]], list[Problem]]:
    """All rows with the line where each begins; reading ends at the first thing that is not CSV."""
    csv.field_size_limit(MAX_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            return rows, [_not_csv(file, line, error)]
        if cells is None:
            return rows, []
        if cells:  # an empty line is no row
            rows.append((line, cells))
        line = reader.line_num + 1


def _not_csv(file: str, line: int, error: csv.Error) -> Problem:
    reason = str(error)
    if "unexpected end of data" in reason:
        return Problem(file, line, "a quote opens in this row and never closes", "close it, or write a quote as two")
    if "field limit" in reason:
        return Problem(file, line, f"a field has more than {MAX_FIELD:,} characters", "look for a quote left open")
    return Problem(file, line, f"not CSV: {reason}", 'a quote inside a quoted text is written twice: ""')


def _check_separator(header: list[str], file: str) -> None:
    if len(header) == 1:
        for separator, name in ((";", "';'"), ("\t", "TAB")):
            if separator in header[0]:
                raise DataError(f"{file}:1: looks {name}-separated, ',' is needed; save it again as CSV with commas")


def _header(header: list[str], file: str, problems: list[Problem]) -> dict[int, str]:
    """The named columns by place. pandas leaves the name of an index in first place empty; nobody else does."""
    for name in dict.fromkeys(header):
        if name and header.count(name) > 1:
            raise DataError(f"{file}:1: column {shown(name)} occurs twice; rename or remove one of them")
    for place, name in enumerate(header):
        if not name and place:
            problems.append(
                Problem(file, 1, f"column {place + 1} has no name", "name it, or take away the extra comma")
            )
    return {place: name for place, name in enumerate(header) if name}
