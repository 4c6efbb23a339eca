"""Rows of Arrow tables, shared by Parquet and Arrow files: which columns hold texts or numbers, and their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmtuner.data.problems import quoted
from llmtuner.data.table import Table
from llmtuner.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def table_of(schema: pa.Schema, read: Callable[[list[str]], list[dict[str, Any]]], rows: int, file: str) -> Table:
    """A table of all columns with texts, numbers, or lists and structures of these; images and the like are not loaded.

    Args:
        read: the rows with the columns of a list.
        rows: their number.
        file: its name for messages.

    Raises:
        DataError: a column occurs twice.
    """
    repeated = next((name for name in schema.names if schema.names.count(name) > 1), None)
    if repeated is not None:
        raise DataError(f"{file}: column {quoted(repeated)} occurs twice; rename or remove one of them")
    types = {name: (_type_name(schema.field(name).type), str(schema.field(name).type)) for name in schema.names}
    loaded = [name for name in schema.names if _is_plain(schema.field(name).type)]
    records = read(loaded) if loaded else [{} for _ in range(rows)]
    return Table(tuple(schema.names), list(enumerate(records, start=1)), types=types, unit="row")


def damage(error: Exception, file: str) -> DataError:
    """The error for a file that Arrow cannot read."""
    reason = quoted(str(error).split("\n")[0])
    return DataError(f"{file}: is truncated or damaged ({reason}); download it again")


def _is_plain(kind: Any) -> bool:
    """Whether values of an Arrow type are texts, numbers, or lists and structures of these."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_plain(kind.value_type)
    if types.is_struct(kind):
        return all(_is_plain(kind.field(index).type) for index in range(kind.num_fields))
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return is_text or any(
        is_kind(kind) for is_kind in (types.is_integer, types.is_floating, types.is_boolean, types.is_null)
    )


def _type_name(kind: Any) -> str:
    """An Arrow type by the forms' name for it (text, texts, whole number, null), else by its own name."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return _type_name(kind.value_type)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_integer(kind):
        return "whole number"
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _type_name(kind.value_type)
        return "texts" if inner in ("text", "null") else f"list of {inner}"
    return str(kind)
