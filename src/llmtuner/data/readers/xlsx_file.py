"""Excel workbooks (.xlsx), through openpyxl: the texts as the sheet shows them. Macros and links are never followed."""

from __future__ import annotations

import datetime
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from llmtuner.data.problems import Problem, quoted, terminal_path
from llmtuner.data.readers.cell_text import Shown, shown
from llmtuner.data.readers.merged import MERGED, MergedRows, fill_merged, merged_rows
from llmtuner.data.readers.raised import PLAIN, with_raised_characters
from llmtuner.data.readers.sheet import GridRow, check_top, named_columns
from llmtuner.data.sniff import read_bytes
from llmtuner.data.table import NumberedRecord, Table
from llmtuner.errors import DataError

LIMIT = 2**30  # bytes of a workbook's expanded parts; a sheet of 60,000 questions has about 60 MB
MOST_ROWS = 2**20  # in a sheet, by Excel's own limit
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s>/]")
_NAMED = 5  # cells and columns in a message
_DAMAGED = (
    zipfile.BadZipFile,
    ParseError,
    zlib.error,
    OSError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    NotImplementedError,
    RuntimeError,  # a part with a password
)
_DATES = (datetime.date, datetime.time, datetime.timedelta)  # a datetime is a date


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell as stored: its value, openpyxl's letter for its type, and its number format."""

    value: Any
    kind: str
    number_format: str


_BLANK = _Cell(None, "n", "")
_Row = tuple[int, list[_Cell]]


def read(path: Path) -> Table:
    """Read the first sheet with rows. The "line" of a record is the number of its row.

    Raises:
        DataError: openpyxl is not installed, the workbook is damaged or too large, or no sheet has rows.
    """
    file = terminal_path(path)
    content = read_bytes(path, magic=(b"PK\x03\x04",), suffix=".xlsx")
    try:
        import openpyxl  # noqa: F401
    except ImportError as error:
        raise DataError(f"{file}: reading .xlsx needs openpyxl; install it: pip install openpyxl") from error
    _check_size(content, file)
    title, rows, others, formulas, merged = _stored(content, file)
    merged = fill_merged(rows, merged, _BLANK)
    texts, oddities = _texts(rows)
    if not texts:
        raise DataError(f"{file}: no sheet has rows; save the questions in a sheet of their own")
    table = _table(texts, file)
    problems = [*table.problems, *_values_missing(rows, formulas, file)]
    notices = (
        [Problem(file, 0, f"read is the sheet {quoted(title)}; not {_list(others)}", kind="sheets")] if others else []
    )
    notices += [*_of_merged(merged, file), *_notices(oddities, texts[0][1], file)]
    return Table(
        table.columns, table.records, problems, header=table.header, unit="row", text_only=True, warnings=notices
    )


def _check_size(content: bytes, file: str) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(part.file_size for part in archive.infolist())
    except _DAMAGED as error:
        raise _damage(error, file) from error
    if size > LIMIT:
        raise DataError(f"{file}: expands to more than {LIMIT / 2**30:g} GiB; export the sheet as CSV UTF-8")


def _stored(content: bytes, file: str) -> tuple[str, list[_Row], list[str], set[tuple[int, int]], list[MergedRows]]:
    """The sheet's name and rows, further sheets, the (row, column) of formulas, and cells merged over several rows."""
    try:
        with _quiet():
            content = with_raised_characters(content)
            values = _sheets(content, data_only=True)
            title, rows = next(((title, rows) for title, rows in values if rows), ("", []))
            others = [name for name, cells in values if cells]
            formulas = _formulas(content, title) if _sheets_match(content, _FORMULA) else set()
            merged = merged_rows(content, title) if rows and _sheets_match(content, MERGED) else []
    except _DAMAGED as error:
        raise _damage(error, file) from error
    if len(rows) > MOST_ROWS or (rows and rows[-1][0] > MOST_ROWS):
        raise DataError(f"{file}: the sheet {quoted(title)} has more than {MOST_ROWS:,} rows; export it as CSV UTF-8")
    return title, rows, others, formulas, merged


def _damage(error: Exception, file: str) -> DataError:
    reason = quoted(str(error).split("\n")[0])
    return DataError(f"{file}: is no complete Excel workbook ({reason}); save it again, or export it as CSV UTF-8")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without openpyxl's warnings about parts that are not read, such as drawings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _sheets(content: bytes, *, data_only: bool) -> Iterator[tuple[str, list[_Row]]]:
    """The visible sheets, then the hidden ones, each with the rows that are not blank."""
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=data_only, keep_links=False)
    for sheet in sorted(book.worksheets, key=lambda each: each.sheet_state != "visible"):
        sheet.reset_dimensions()  # some programs store a size that is too small
        rows: list[_Row] = []
        for number, cells in enumerate(sheet.iter_rows(), start=1):
            if any(cell.value is not None for cell in cells):
                rows.append((number, [_stored_cell(cell) for cell in cells]))
            if number > MOST_ROWS:
                rows.append((number, []))
                break
        yield sheet.title, rows


def _stored_cell(cell: Any) -> _Cell:
    plain = cell.value is None or isinstance(cell.value, str | bool)
    # Without a value, a cell of type "str" is a formula whose result is a blank text; any other cell has no result.
    kind = "n" if cell.value is None and cell.data_type != "str" else cell.data_type
    return _Cell(cell.value, kind, "" if plain else cell.number_format)


def _sheets_match(content: bytes, pattern: re.Pattern[bytes]) -> bool:
    """Whether any sheet has a part that needs another reading of the workbook; few do."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sheets = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        return any(pattern.search(archive.read(name)) for name in sheets)


def _formulas(content: bytes, title: str) -> set[tuple[int, int]]:
    """The row and column, from 1 and from 0, of each cell of a sheet that holds a formula."""
    rows = next((rows for name, rows in _sheets(content, data_only=False) if name == title), [])
    return {(number, index) for number, cells in rows for index, cell in enumerate(cells) if cell.kind == "f"}


def _texts(rows: list[_Row]) -> tuple[list[GridRow], list[tuple[int, int, _Cell, Shown]]]:
    """The rows as texts, all of the same width, and the cells whose text is not simply their value."""
    width = max(
        (index + 1 for _, cells in rows for index, cell in enumerate(cells) if cell.value is not None), default=0
    )
    texts: list[GridRow] = []
    oddities = []
    for number, cells in rows:
        texts.append((number, [""] * width))
        for index, cell in enumerate(cells):
            if cell.value is not None:
                text = shown(cell.value, cell.number_format)
                texts[-1][1][index] = text.text.replace(PLAIN, "")
                if text.rounded or isinstance(cell.value, _DATES) or PLAIN in text.text:
                    oddities.append((number, index, cell, text))
    return texts, oddities


def _table(rows: list[GridRow], file: str) -> Table:
    used = [index for index in range(len(rows[0][1])) if any(cells[index] for _, cells in rows)]
    rows = [(row, [cells[index] for index in used]) for row, cells in rows]
    check_top(rows, file, "row")
    (header_row, header), rows = rows[0], rows[1:]
    problems: list[Problem] = []
    columns = named_columns(header, header_row, file, problems, "row")
    records: list[NumberedRecord] = [
        (row, {name: cells[index] for index, name in columns.items()}) for row, cells in rows
    ]
    return Table(tuple(columns.values()), records, problems, header=header_row)


def _values_missing(rows: list[_Row], formulas: set[tuple[int, int]], file: str) -> list[Problem]:
    """Cells without a value that can be read: a formula whose result is not stored, or an error such as #DIV/0!."""
    problems = []
    for number, cells in rows:
        blank = [index for index, cell in enumerate(cells) if cell.value is None and cell.kind != "str"]
        for index in blank:
            if (number, index) in formulas:
                defect = f"cell {_place(number, index)} is a formula whose result is not stored"
                fix = "open the workbook in Excel or LibreOffice and save it, or paste the values"
                problems.append(Problem(file, number, defect, fix=fix, kind="formula"))
        for index, cell in enumerate(cells):
            if cell.kind == "e":
                defect = f"cell {_place(number, index)} shows the error {quoted(cell.value)}"
                problems.append(Problem(file, number, defect, fix="correct the formula", kind="error cell"))
    return problems


def _notices(oddities: list[tuple[int, int, _Cell, Shown]], header: list[str], file: str) -> list[Problem]:
    """Warnings of cells that became dates, one for each; one for each column of rounded numbers, or of raised texts."""
    notices = []
    others: dict[tuple[int, bool], list[tuple[int, _Cell, Shown]]] = {}
    for number, index, cell, text in oddities:
        name = quoted(header[index]) if index < len(header) else _place(number, index)
        if isinstance(cell.value, _DATES):
            defect = f"column {name} holds a date, shown as {quoted(text.text)}; Excel makes dates of texts such as 1-2"
            fix = "if a text was meant, format the column as text and type it again"
            notices.append(Problem(file, number, defect, fix=fix, kind="date"))
        else:
            others.setdefault((index, text.rounded), []).append((number, cell, text))
    for (index, is_rounded), cells in others.items():
        number, cell, text = cells[0]
        more = f" (and {len(cells) - 1:,} more in the column)" if len(cells) > 1 else ""
        text_read, place = quoted(text.text.replace(PLAIN, "")), _place(number, index)
        if is_rounded:
            kind, fix = "rounded", "show more decimals if the difference counts"
            defect = f"cell {place} is read as the sheet shows it, {text_read}, and holds {cell.value!r}"
        else:
            kind, fix = "raised", "write it without the format, such as x^(ab)"
            defect = f"cell {place} has raised or lowered text that Unicode cannot write; it is read as {text_read}"
        notices.append(Problem(file, number, f"{defect}{more}", fix=fix, kind=kind))
    return notices


def _of_merged(merged: list[MergedRows], file: str) -> list[Problem]:
    if not merged:
        return []
    places = [f"{_place(each.first, each.column)}:{_place(each.last, each.column)}" for each in merged]
    defect = f"merged cells: each of their rows has the text ({_list(places)})"
    fix = "if only the first row was meant, undo the merge"
    return [Problem(file, merged[0].first, defect, fix=fix, kind="merged cells")]


def _place(row: int, index: int) -> str:
    """A cell's name, such as C3."""
    letters, index = "", index + 1
    while index:
        index, digit = divmod(index - 1, 26)
        letters = chr(65 + digit) + letters
    return f"{letters}{row}"


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(quoted, names[:_NAMED])) + more
