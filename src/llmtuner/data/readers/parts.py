"""Several files that are the parts of one table: the shards of a split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llmtuner.data.problems import quoted, terminal_path
from llmtuner.data.table import NumberedRecord, Table
from llmtuner.errors import DataError


def joined(parts: Sequence[tuple[Path, Table]], path: Path) -> Table:
    """The parts as one table; its rows are numbered from 1 over all parts.

    Args:
        parts: each file with its table, in order.
        path: the folder, for messages.

    Raises:
        DataError: the parts have different columns, or a column of different types.
    """
    first_file, first = parts[0]
    columns: dict[str, None] = {}
    types: dict[str, tuple[str, str]] = {}
    records: list[NumberedRecord] = []
    for file, table in parts:
        differing = sorted(set(table.columns) ^ set(first.columns))
        if differing and (table.types or table.header or first.types or first.header):  # JSON objects may lack keys
            raise DataError(
                f"{terminal_path(path)}: {file.name} and {first_file.name} have different columns: "
                f"{', '.join(map(quoted, differing[:6]))} is in one of them only; give each file by itself"
            )
        for name, kind in table.types.items():
            if "null" not in (types.get(name, kind)[0], kind[0]) and types.get(name, kind)[0] != kind[0]:
                raise DataError(
                    f"{terminal_path(path)}: column {quoted(name)} is {kind[1]} in {file.name} and {types[name][1]} in "
                    "the files before it; give each file by itself"
                )
            if types.get(name, ("null", ""))[0] == "null":
                types[name] = kind
        columns |= dict.fromkeys(table.columns)
        records += [(len(records) + number, row) for number, (_, row) in enumerate(table.records, start=1)]
    return Table(
        tuple(columns),
        records,
        [problem for _, table in parts for problem in table.problems],
        types,
        unit="row",
        text_only=all(table.text_only for _, table in parts),
        warnings=[warning for _, table in parts for warning in table.warnings],
    )
