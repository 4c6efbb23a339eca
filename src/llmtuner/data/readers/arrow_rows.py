"""Rows of Arrow tables, shared by Parquet and Arrow files: which columns hold texts or numbers, and their values."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from llmtuner.data.problems import quoted
from llmtuner.data.table import NOT_LOADED, Table
from llmtuner.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_CONVERTED = ("decimal", "map<")  # in the names of types whose Python values are none that JSON has


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
    kinds = {name: schema.field(name).type for name in schema.names}
    loaded = [name for name, kind in kinds.items() if _is_plain(kind)]
    types = {name: (_type_name(kind) if name in loaded else NOT_LOADED, str(kind)) for name, kind in kinds.items()}
    records = read(loaded) if loaded else [{} for _ in range(rows)]
    for name in loaded:
        if any(word in str(kinds[name]) for word in _CONVERTED):
            for record in records:
                record[name] = _as_json(record[name])
    return Table(tuple(schema.names), list(enumerate(records, start=1)), types=types, unit="row")


def damage(error: Exception, file: str) -> DataError:
    """The error for a file that Arrow cannot read."""
    reason = quoted(str(error).split("\n")[0])
    return DataError(f"{file}: is truncated or damaged ({reason}); download it again")


def _as_json(value: Any) -> Any:
    """A value with numbers for decimals, and objects for maps, which are lists of pairs."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: _as_json(item) for name, item in value.items()}
    if not isinstance(value, list):
        return value
    if not value or not all(isinstance(item, tuple) for item in value):
        return [_as_json(item) for item in value]
    pairs = {name: _as_json(item) for name, item in value}
    return pairs if len(pairs) == len(value) else [list(item) for item in value]  # a key twice makes no object


def _is_plain(kind: Any) -> bool:
    """Whether values of an Arrow type are texts, numbers, or lists and structures of these."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_plain(kind.value_type)
    if types.is_map(kind):
        return _is_plain(kind.key_type) and _is_plain(kind.item_type)
    if types.is_struct(kind):
        return all(_is_plain(kind.field(index).type) for index in range(kind.num_fields))
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    plain = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_null)
    return is_text or any(is_kind(kind) for is_kind in plain)


def _type_name(kind: Any) -> str:
    """An Arrow type by the forms' name for it (text, texts, whole number, null), else by its own name."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return _type_name(kind.value_type)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_integer(kind) or (types.is_decimal(kind) and kind.scale <= 0):
        return "whole number"
    if types.is_decimal(kind):
        return "double"
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _type_name(kind.value_type)
        return "texts" if inner in ("text", "null") else f"list of {inner}"
    return str(kind)
