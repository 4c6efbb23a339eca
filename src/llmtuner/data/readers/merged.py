"""Cells of an Excel sheet that are merged over several rows: each row has their text, as a reader sees the sheet.

A workbook stores the text in the first of the rows only, so a passage over five questions would be that of one.
"""

from __future__ import annotations

import io
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

MERGED = re.compile(rb"<(?:\w+:)?mergeCell[\s>/]")
_C = TypeVar("_C")


@dataclass(frozen=True, slots=True)
class MergedRows:
    """Rows, from 1, whose cells of a column, from 0, are one cell of the sheet."""

    first: int
    last: int
    column: int


def merged_rows(content: bytes, title: str) -> list[MergedRows]:
    """The merged cells of a sheet that span several rows, by their left column; of a workbook's content.

    This reads the workbook once more, and whole: it is for those with a sheet that matches `MERGED`.

    Raises:
        zipfile.BadZipFile, ValueError, ...: as openpyxl does for a damaged workbook.
    """
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(content), data_only=True, keep_links=False)
    ranges = book[title].merged_cells.ranges
    spans = [MergedRows(each.min_row, each.max_row, each.min_col - 1) for each in ranges if each.max_row > each.min_row]
    return sorted(spans, key=lambda each: (each.first, each.column))


def fill_merged(rows: Sequence[tuple[int, list[_C]]], merged: Sequence[MergedRows], blank: _C) -> list[MergedRows]:
    """Give each row the merged cell of its first row, in place; blank rows stay out.

    Merged cells that begin in the header, the first row, stay as they are: their text is a column's name.

    Args:
        rows: numbers, ascending, and cells of the rows that are not blank.
        merged: of the same sheet.
        blank: a cell without a value.

    Returns:
        the merged cells whose text was given to further rows
    """
    numbers = [number for number, _ in rows]
    filled = []
    for each in merged:
        at = bisect_left(numbers, each.first)
        if at == 0 or at == len(rows) or numbers[at] != each.first or each.column >= len(rows[at][1]):
            continue
        text = rows[at][1][each.column]
        below = rows[at + 1 : bisect_right(numbers, each.last)] if text != blank else ()
        for _, lower in below:
            lower.extend([blank] * (each.column + 1 - len(lower)))
            lower[each.column] = text
        if below:
            filled.append(each)
    return filled
