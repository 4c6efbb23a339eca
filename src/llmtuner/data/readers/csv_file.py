"""CSV as Excel, pandas and Kaggle write it: comma, double quotes, UTF-8; every cell is text and stays as it is."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmtuner.data.problems import Problem, shown, terminal_path
from llmtuner.data.sniff import read_text
from llmtuner.data.table import Record, Table
from llmtuner.errors import DataError

_SEPARATORS = {";": "';'", "\t": "TAB", "|": "'|'"}
_LINE_END = re.compile(r"\r\n|\r|\n")

Row = tuple[int, list[str]]


def read(path: Path) -> Table:
    """Read a CSV file strictly; empty lines are skipped.

    Raises:
        DataError: it is no UTF-8 text, another separator, or a header that names a column twice.
    """
    file = terminal_path(path)
    text = read_text(path)
    _check_separator(text, file)
    rows, problems = _rows(text, file)
    if not rows:
        raise DataError(str(problems[0]) if problems else f"{file}: has no header and no rows, only blanks")
    (at, header), rows = rows[0], rows[1:]
    named = _header(header, at, file, problems)
    records: list[Record] = []
    for line, cells in rows:
        if len(cells) != len(header):
            problems.append(_misfit(file, line, len(cells), len(header)))
        elif any(cell.strip() for cell in cells):
            records.append((line, {name: cells[place] for place, name in named.items()}))
        else:
            problems.append(Problem(file, line, "every field is blank", fix="delete the line", kind="blank row"))
    if rows and not records and all(len(cells) == len(header) + 1 for _, cells in rows):
        problems = [problem for problem in problems if problem.kind != "fields"]
        problems.append(_one_too_many(file, rows, len(header)))
    return Table(tuple(named.values()), records, problems, header=at, text_only=True)


def _rows(text: str, file: str) -> tuple[list[Row], list[Problem]]:
    """All rows with the line where each begins; reading ends at the first thing that is not CSV."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    line = 1
    with _unlimited_fields(len(text)):
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                return rows, [_not_csv(text, file, line, reader.line_num, str(error))]
            if cells is None:
                return rows, []
            if len(cells) > 1 or "".join(cells).strip():  # a line of blanks is no row
                rows.append((line, cells))
            line = reader.line_num + 1


@contextmanager
def _unlimited_fields(size: int) -> Iterator[None]:
    """Lift the csv module's limit for this file; the limit belongs to the process, so it is put back.

    How long a text may be is checked with the cells, alike for all file types; here a limit would only hide the quote
    that was left open.
    """
    before = csv.field_size_limit(min(size + 1, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _not_csv(text: str, file: str, begin: int, end: int, reason: str) -> Problem:
    """Say what the csv module cannot read.

    Args:
        begin, end: the lines where the row begins and where reading ended.
    """
    total = text.count("\n") + (not text.endswith("\n"))
    if "unexpected end of data" not in reason:
        row = "" if begin == end else f" in the row that begins in line {begin}: a quote may be open since then"
        what = f"not CSV: text follows a closing quote{row}"
        fix = 'write a quote inside a quoted text twice: ""; lines after this one were not read'
        expected = "expected a comma or the end of the line"
        return Problem(file, end, what, expected, fix, kind="quote", unread=total - end)
    # Read leniently, the open field is the row's last: the line ends of the fields before it tell where it opens.
    lines = io.StringIO(text, newline="")
    for _ in range(begin - 1):
        next(lines)
    *closed, _open = next(csv.reader(lines))
    line = begin + sum(len(_LINE_END.findall(field)) for field in closed)
    what = "a quote opens here and never closes"
    fix = "close it, or write the quote twice"
    return Problem(file, line, what, 'expected a closing "', fix, kind="quote", unread=total - line)


def _check_separator(text: str, file: str) -> None:
    """Before parsing: a header of quoted names with another separator is no CSV at all to the csv module."""
    header = next(((line, names) for line, names in enumerate(io.StringIO(text), start=1) if names.strip()), None)
    for separator, name in _SEPARATORS.items():
        if header and separator in header[1] and "," not in header[1]:
            what = f"looks {name}-separated, ',' is needed; save it again as CSV with commas"
            raise DataError(f"{file}:{header[0]}: {what}")


def _header(header: list[str], line: int, file: str, problems: list[Problem]) -> dict[int, str]:
    """The named columns by place. pandas leaves the name of an index in first place empty; nobody else does."""
    for name in dict.fromkeys(header):
        if name and header.count(name) > 1:
            raise DataError(f"{file}:{line}: column {shown(name)} occurs twice; rename or remove one of them")
    for place, name in enumerate(header):
        if not name and place:
            fix = "name it, or take away the extra comma"
            problems.append(Problem(file, line, f"column {place + 1} has no name", fix=fix, kind="header"))
    return {place: name for place, name in enumerate(header) if name}


def _misfit(file: str, line: int, found: int, wanted: int) -> Problem:
    fix = "put quotes around texts that hold a comma" if found > wanted else "add what is missing, if only its comma"
    what = f"{found} field{'s' * (found != 1)}, the header has {wanted}"
    return Problem(file, line, what, fix=fix, kind="fields")


def _one_too_many(file: str, rows: list[Row], wanted: int) -> Problem:
    """All rows are one longer than the header: pandas would shift every column by one without a word."""
    fix = "name the extra column in the header, or remove it"
    if all(not cells[-1].strip() for _, cells in rows):
        fix = "take away the comma at the end of each row"
    what = f"every row has {wanted + 1} fields, the header has {wanted}"
    return Problem(file, rows[0][0], what, fix=fix, kind="fields")
