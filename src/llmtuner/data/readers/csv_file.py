"""CSV as Excel, pandas and Kaggle write it: comma, double quotes, UTF-8. Every cell is text and stays unchanged."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmtuner.data.problems import Problem, quoted, terminal_path
from llmtuner.data.readers.sheet import GridRow, check_top, columns_by_position, named_columns
from llmtuner.data.sniff import read_text
from llmtuner.data.table import NumberedRecord, Table
from llmtuner.errors import DataError

_SEPARATORS = {",": "a comma", ";": "';'", "\t": "TAB", "|": "'|'"}
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_LINE_END = re.compile(r"\r\n|\r|\n")
# Excel's own first line that names the separator; other programs would take it for the names of the columns.
_SEP_LINE = re.compile(r'"?sep=(.)"?[ \t]*(?=\r|\n|$)', flags=re.IGNORECASE)


def read(path: Path) -> Table:
    """Read a CSV file strictly; empty lines are skipped.

    Raises:
        DataError: the file is not UTF-8, has another separator, a title above its columns' names, or a column twice.
    """
    return parse(read_text(path), terminal_path(path))


def parse(text: str, file: str, separator: str = ",") -> Table:
    """The same for a text.

    Args:
        file: its name for messages.
    """
    if declared := _SEP_LINE.match(text):
        separator, text = declared[1], text[declared.end() :]  # the rest begins with the end of that line
    else:
        _check_separator(text, file, separator)
    rows, problems = _rows(text, file, separator)
    if not rows:
        raise DataError(str(problems[0]) if problems else f"{file}: has no header and no rows, only white space")
    check_top(rows, file)
    warnings: list[Problem] = []
    if by_position := columns_by_position(rows):
        notice = f"no names of columns: read by position, as MMLU's files, as {', '.join(by_position)}"
        warnings.append(Problem(file, 0, notice, kind="no header"))
        rows.insert(0, (0, by_position))
    (header_line, header), rows = rows[0], rows[1:]
    columns = named_columns(header, header_line, file, problems)
    records: list[NumberedRecord] = []
    names, all_named = tuple(columns.values()), len(columns) == len(header)
    for line, cells in rows:
        if len(cells) != len(header):
            problems.append(_wrong_width(file, line, cells, len(header)))
        elif any(map(str.strip, cells)):
            used = cells if all_named else [cells[index] for index in columns]
            records.append((line, dict(zip(names, used, strict=True))))
        else:
            problems.append(Problem(file, line, "every field is blank", fix="delete the line", kind="blank row"))
    spaced = any(cell.startswith(' "') for _, cells in rows[:1] for cell in cells)  # it has its own fix
    if rows and not records and not spaced and all(len(cells) == len(header) + 1 for _, cells in rows):
        problems = [problem for problem in problems if problem.kind != "fields"]
        problems.append(_one_too_many(file, rows, len(header)))
    return Table(names, records, problems, header=header_line, text_only=True, warnings=warnings)


def _rows(text: str, file: str, separator: str) -> tuple[list[GridRow], list[Problem]]:
    """All rows with the line on which each begins. Reading stops at the first syntax error."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[GridRow] = []
    line = 1
    with _unlimited_fields(len(text)):
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                return rows, [_syntax_error(text, file, (line, reader.line_num), str(error), separator)]
            if cells is None:
                return rows, []
            if len(cells) > 1 or "".join(cells).strip():  # a line of white space is not a row
                rows.append((line, cells))
            line = reader.line_num + 1


@contextmanager
def _unlimited_fields(size: int) -> Iterator[None]:
    """Lift the csv module's field size limit for this file. The limit is global to the process, so it is restored.

    Text length is checked with the cells, for all file types. A limit here would only hide an unclosed quote.
    """
    previous_limit = csv.field_size_limit(min(size + 1, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(previous_limit)


def _syntax_error(text: str, file: str, lines_of_row: tuple[int, int], reason: str, separator: str) -> Problem:
    """The problem at which the csv module stopped.

    Args:
        lines_of_row: the lines where the row begins and where reading stopped.
    """
    first_line, last_line = lines_of_row
    total = text.count("\n") + (not text.endswith("\n"))
    if "unexpected end of data" not in reason:
        hint = "" if first_line == last_line else f" in the row from line {first_line}; a quote in it may be unclosed"
        return Problem(
            file,
            last_line,
            f"not CSV: text follows a closing quote{hint}",
            f"expected {_SEPARATORS.get(separator, quoted(separator))} or the end of the line",
            'write a quote inside a quoted text twice: ""; the lines after this one were not read',
            kind="quote",
            unread=total - last_line,
        )
    # A lenient reader makes the open field the row's last. Line breaks in the fields before it give its line.
    lines = io.StringIO(text, newline="")
    for _ in range(first_line - 1):
        next(lines)
    *closed_fields, _open_field = next(csv.reader(lines, delimiter=separator))
    line = first_line + sum(len(_LINE_END.findall(field)) for field in closed_fields)
    return Problem(
        file,
        line,
        "a quote opens here and never closes",
        'expected a closing "',
        "close it, or write the quote twice",
        kind="quote",
        unread=total - line,
    )


def _check_separator(text: str, file: str, expected: str) -> None:
    """Reject other separators before parsing: with them, the csv module cannot parse a header of quoted names."""
    lines = (match[0] for match in _LINE.finditer(text))  # a copy of the text, to read one line, would be slow
    header = next(((line, names) for line, names in enumerate(lines, start=1) if names.strip()), None)
    if header is None or header[1].lstrip().startswith("#"):
        return
    for separator, name in _SEPARATORS.items():
        if header[1].count(separator) > header[1].count(expected):
            fixes = (
                ["save the file as CSV with commas"]
                if expected == ","
                else [f"separate the fields by {_SEPARATORS[expected]}"]
            )
            if _reads_well(text, file, separator):
                renamed = {"\t": ".tsv", ",": ".csv"}.get(separator)
                fixes.append(f"rename it to {renamed}" if renamed else f"write sep={separator} as its first line")
            raise DataError(
                f"{file}:{header[0]}: the separator seems to be {name}, expected {_SEPARATORS[expected]}; "
                f"{' or '.join(fixes)}"
            )


def _reads_well(text: str, file: str, separator: str) -> bool:
    """Whether the file is free of defects with another separator, so that the advice to declare it is right."""
    try:
        table = parse(text, file, separator)
    except DataError:
        return False
    return bool(table.records) and not table.problems


def _wrong_width(file: str, line: int, cells: list[str], expected: int) -> Problem:
    width = len(cells)
    fix = "put quotes around texts with a comma" if width > expected else "add the missing fields or commas"
    if any(cell.startswith(' "') for cell in cells):
        fix = "remove the space before the opening quote"
    elif cells[0].lstrip().startswith("#"):
        fix = "delete the line, if it is a comment"
    defect = f"{width} field{'s' * (width != 1)}, the header has {expected}"
    return Problem(file, line, defect, fix=fix, kind="fields")


def _one_too_many(file: str, rows: list[GridRow], expected: int) -> Problem:
    """All rows have one field more than the header; pandas would silently shift every column by one."""
    fix = "name the extra column in the header, or remove it"
    if all(not cells[-1].strip() for _, cells in rows):
        fix = "remove the comma at the end of each row"
    defect = f"every row has {expected + 1} fields, the header has {expected}"
    return Problem(file, rows[0][0], defect, fix=fix, kind="fields")
