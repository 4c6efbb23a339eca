"""What CSV files and spreadsheets share: the rows of a grid, the first of which should name the columns."""

from __future__ import annotations

from collections.abc import Sequence

from llmtuner.data.problems import Problem, line_list, quoted
from llmtuner.data.question import LETTERS, MAX_OPTIONS, MIN_OPTIONS
from llmtuner.errors import DataError

GridRow = tuple[int, list[str]]  # the line on which it begins, and its cells
_ABOVE = 10  # so many rows above the names of the columns are recognised
_LEAST = 3  # columns: a question and two options
_NAMES = {"id", "prompt", "question", "query", "answer", "label", "target", "", *LETTERS.casefold()}


def check_top(rows: Sequence[GridRow], file: str, unit: str = "line") -> None:
    """Reject rows above the names of the columns: titles ("Table 1,,,") and comments ("# exported 2024").

    Raises:
        DataError: with the lines to delete.
    """
    above = 0
    while above < min(_ABOVE, len(rows) - 1) and _is_remark(rows[above][1], rows[above + 1 :]):
        above += 1
    if not above:
        return
    (first, cells), (header, names) = rows[0], rows[above]
    what = "a comment" if cells[0].lstrip().startswith("#") else "a title"
    lines = [line for line, _ in rows[:above]]
    raise DataError(
        f"{file}:{first}: {quoted(cells[0])} is {what}, expected the names of the columns, which seem to be in "
        f"{unit} {header} ({', '.join(map(quoted, names[:_LEAST]))}, ...); delete {line_list(lines, unit)}"
    )


def columns_by_position(rows: Sequence[GridRow]) -> list[str]:
    """The columns of a file of MMLU, which does not name them: question, options, answer. [] for any other file.

    Every row ends with the letter of one of its options, and the first row has no name of a column.
    """
    width = len(rows[0][1])
    letters = LETTERS[: width - 2]
    if not MIN_OPTIONS <= width - 2 <= MAX_OPTIONS or {cell.strip().casefold() for cell in rows[0][1][:-1]} & _NAMES:
        return []
    if not all(len(cells) == width and len(cells[-1]) == 1 and cells[-1] in letters for _, cells in rows):
        return []
    if all(cells[0].strip().isdecimal() for _, cells in rows):  # ids: then the first option would be the question
        return []
    return ["prompt", *letters, "answer"]


def named_columns(
    header: list[str], line: int, file: str, problems: list[Problem], unit: str = "line"
) -> dict[int, str]:
    """The column names by index. An empty name is a problem, except for the first, where pandas writes its index."""
    for name in dict.fromkeys(header):
        if name and header.count(name) > 1:
            raise DataError(f"{file}:{line}: column {quoted(name)} occurs twice; rename or remove one of them")
    for index, name in enumerate(header):
        if not name and index:
            fix = f"name it, or remove the extra {'comma' if unit == 'line' else 'column'}"
            problems.append(Problem(file, line, f"column {index + 1} has no name", fix=fix, kind="header"))
    return {index: name for index, name in enumerate(header) if name}


def _is_remark(cells: list[str], below: Sequence[GridRow]) -> bool:
    """Whether a row holds one text only, or begins with "#", and the rows below it are wider."""
    filled = [cell for cell in cells if cell.strip()]
    width = max(len([cell for cell in row if cell.strip()]) for _, row in below[:_ABOVE])
    if width < _LEAST:
        return False
    comment = cells[0].lstrip().startswith("#") and len(cells) != len(below[0][1])
    return comment or (len(filled) == 1 and bool(cells[0].strip()))
