"""The rows of a submission file, read leniently: a defect in one line does not hide those of the next."""

from __future__ import annotations

import csv
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmtuner.data.problems import Problem, line_list, quoted, terminal_path
from llmtuner.data.sniff import WrongType, file_status, read_bytes, wide_encoding
from llmtuner.errors import DataError

HEADER = ("id", "prediction")
_BOM = b"\xef\xbb\xbf"
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_LETTERS = re.compile(r"[A-J]([ ,;]*[A-J])*")
_SEPARATORS = {";": "a semicolon", "\t": "a TAB", "|": "'|'"}
_INDEX_NAMES = ("", "unnamed: 0", "index")


@dataclass(frozen=True, slots=True)
class SubmissionRow:
    """One row of a submission.

    Args:
        prediction: None if the row has not the fields of the header.
    """

    line: int
    id: str
    prediction: str | None


@dataclass(frozen=True, slots=True)
class SubmissionFile:
    """The rows of a file, and the defects of the file and its header."""

    rows: tuple[SubmissionRow, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Record:
    """The fields of one or several lines, from `line` to `last`; no fields: empty; None: broken quotes."""

    line: int
    last: int
    cells: list[str] | None


@dataclass(frozen=True, slots=True)
class _Columns:
    """The places of the two columns, the number of fields in the header, and whether it is a row itself."""

    id: int
    prediction: int
    width: int
    is_row: bool = False


def read_submission(path: Path) -> SubmissionFile:
    """Read a submission.

    Raises:
        DataError: missing, empty, or not a text: another type of file cannot be handed in.
    """
    file = terminal_path(path)
    if file_status(path).st_size == 0:
        raise DataError(f"{file}: is empty (0 bytes); expected the header {','.join(HEADER)} and a row for each id")
    try:
        content = read_bytes(path, suffix=".csv")
    except WrongType as error:
        raise DataError(f"{error}; a submission is a CSV file with the columns {','.join(HEADER)}") from error
    text, problems = _decoded(content, file)
    lines = _LINE.findall(text)
    header_line = next((number for number, line in enumerate(lines, start=1) if line.strip()), 0)
    if not header_line:
        raise DataError(f"{file}: has only white space; expected the header {','.join(HEADER)} and a row for each id")
    separator, defects = _separator(header_line, lines[header_line - 1], file)
    records = _records(lines, separator)
    problems += [*defects, *_undecoded(lines, file), *_line_ends(lines, records, file)]
    for record in records:
        if record.cells is None:
            shown, expected = quoted(lines[record.line - 1].rstrip()), "expected no quotes, or a whole field in them"
            problem = Problem(file, record.line, f"broken quotes: {shown}", expected, "remove the quotes", "quoting")
            problems.append(problem)
        elif not record.cells:
            problems.append(Problem(file, record.line, "empty line", fix="delete it", kind="empty line"))
    rows = [(record.line, record.cells) for record in records if record.cells]
    columns = _Columns(0, 1, 2)
    if rows and rows[0][0] == header_line:
        columns = _columns(rows[0][1], header_line, file, problems)
        rows = rows if columns.is_row else rows[1:]
    if not rows:
        problems.append(Problem(file, header_line, "a header and no rows", "expected a row for each id", kind="rows"))
    return SubmissionFile(tuple(_row(line, cells, columns, file, problems) for line, cells in rows), tuple(problems))


def _decoded(content: bytes, file: str) -> tuple[str, list[Problem]]:
    """The text, and what is wrong with its encoding as a whole. Bytes that are not UTF-8 become surrogates."""
    if encoding := wide_encoding(content):
        problem = Problem(file, 1, f"is {encoding}", "expected UTF-8", "save the file as UTF-8", kind="encoding")
        return content.decode(encoding, errors="replace").removeprefix("\ufeff"), [problem]
    problems = []
    if content.startswith(_BOM):
        defect, fix = "begins with a byte order mark", "save it as UTF-8 without BOM (pandas: encoding='utf-8')"
        expected = "expected the header at once: some readers take the mark for a part of the name id"
        problems.append(Problem(file, 1, defect, expected, fix, kind="BOM"))
    return content.removeprefix(_BOM).decode("utf-8", errors="surrogateescape"), problems


def _undecoded(lines: Sequence[str], file: str) -> list[Problem]:
    return [
        Problem(file, number, "is not UTF-8", "expected UTF-8", "save the file as UTF-8", kind="encoding")
        for number, line in enumerate(lines, start=1)
        if not line.isascii() and any("\udc80" <= character <= "\udcff" for character in line)
    ]


def _line_ends(lines: Sequence[str], records: Sequence[_Record], file: str) -> list[Problem]:
    """One problem for all records that end in anything but a line feed."""
    ends = {"CR LF (Windows)": "\r\n", "CR (old Mac)": "\r"}
    problems = []
    for name, end in ends.items():
        numbers = [record.last for record in records if lines[record.last - 1].endswith(end)]
        if numbers:
            defect = f"{line_list(numbers)} end{'s' * (len(numbers) == 1)} in {name}"
            fix = "write LF (pandas: lineterminator='\\n')"
            problems.append(Problem(file, numbers[0], defect, "expected LF", fix, kind="line ends"))
    return problems


def _separator(line: int, header: str, file: str) -> tuple[str, list[Problem]]:
    if "," not in header:
        for separator, name in _SEPARATORS.items():
            if separator in header:
                defect = f"the fields are separated by {name}"
                return separator, [Problem(file, line, defect, "expected a comma", "write commas", kind="separator")]
    return ",", []


def _records(lines: Sequence[str], separator: str) -> list[_Record]:
    """The lines, split into fields. A field in quotes may go over several lines; broken quotes break one line only."""
    odd = [index for index, line in enumerate(lines) if line.count('"') % 2]
    records, index = [], 0
    while index < len(lines):
        end = index + 1
        if lines[index].count('"') % 2:  # a quote stays open until the next line with an odd number of them
            closing = bisect_right(odd, index)
            end = odd[closing] + 1 if closing < len(odd) else len(lines)
        cells = _fields(lines[index:end], separator)
        end = index + 1 if cells is None else end
        records.append(_Record(index + 1, end, cells))
        index = end
    return records


def _fields(lines: Sequence[str], separator: str) -> list[str] | None:
    """The fields of one record, [] for white space; None if its quotes are broken."""
    try:
        records = list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        return None
    if not any(map(str.strip, lines)):
        return []
    return records[0] if len(records) == 1 else None


def _columns(header: list[str], line: int, file: str, problems: list[Problem]) -> _Columns:
    """Where the two columns are; what is wrong with the header is added to `problems`."""
    names = [name.strip().lower() for name in header]
    shown, expected = quoted(",".join(header)), f"expected {','.join(HEADER)}"
    if not set(HEADER) <= set(names):
        if len(header) > 1 and _LETTERS.fullmatch(header[1].strip()):
            defect, fix = f"no header: the first line is {shown}", f"write {','.join(HEADER)} above it"
            problems.append(Problem(file, line, defect, expected, fix, kind="header"))
            return _Columns(0, 1, len(header), is_row=True)
        problems.append(Problem(file, line, f"the header is {shown}", expected, "rename the columns", kind="header"))
        return _Columns(0, 1, max(len(header), 2))
    places = [names.index(name) for name in HEADER]
    if [header[place] for place in places] != list(HEADER) or places != sorted(places):
        problems.append(Problem(file, line, f"the header is {shown}", expected, "rename the columns", kind="header"))
    if extra := [name for place, name in enumerate(header) if place not in places]:
        index = any(name.strip().lower() in _INDEX_NAMES for name in extra)
        fix = "leave out the row numbers (pandas: index=False)" if index else "leave them out"
        defect = f"extra column{'s' * (len(extra) > 1)} {', '.join(map(quoted, extra[:5]))}"
        problems.append(Problem(file, line, defect, expected, fix, kind="extra columns"))
    return _Columns(places[0], places[1], len(header))


def _row(line: int, cells: list[str], columns: _Columns, file: str, problems: list[Problem]) -> SubmissionRow:
    if len(cells) != columns.width:
        letters = len(cells) > 2 and all(map(_LETTERS.fullmatch, map(str.strip, cells[1:])))
        fix = "separate the letters by one blank, not by commas" if letters else "write one id and one prediction"
        defect = f"{len(cells)} field{'s' * (len(cells) != 1)}: {quoted(','.join(cells))}"
        problems.append(Problem(file, line, defect, f"expected {columns.width}", fix, kind="fields"))
        return SubmissionRow(line, cells[columns.id] if len(cells) > columns.id else "", None)
    return SubmissionRow(line, cells[columns.id], cells[columns.prediction])


def sample_ids(path: Path) -> Iterator[tuple[int, str]]:
    """Line and id of each row of a sample submission; only its ids are looked at.

    Raises:
        DataError: the file cannot be read, or has no column id.
    """
    sample = read_submission(path)
    defects = [problem for problem in sample.problems if problem.kind in ("header", "quoting", "rows")]
    if defects:
        raise DataError(f"{defects[0]} (this is the sample)")
    yield from ((row.line, row.id) for row in sample.rows)
