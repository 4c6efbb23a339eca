"""Resolve a `--dataset` name to files: by dataset_info_ext.json, by an upstream-style registry, or as a path."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from llmtuner.data.first_columns import first_columns
from llmtuner.data.paths import exists, is_data_file, is_pattern, matching_paths
from llmtuner.data.problems import TOO_LONG_A_NUMBER, escaped, quoted
from llmtuner.data.read_as import AS_IT_IS, ReadAs, checked_base, column_names, is_a_form, merged_query, split_query
from llmtuner.errors import UserError

PROJECT = Path(__file__).resolve().parents[3]
PROJECT_DATA = PROJECT / "data"
EXTENSION = PROJECT / "dataset_info_ext.json"
INFO = "dataset_info.json"
FORMATTINGS = ("mcq", "alpaca", "sharegpt", "openai")
_FETCHED = (
    "hf_hub_url",
    "ms_hub_url",
    "om_hub_url",
    "script_url",
    "cloud_file_name",
)  # before a file
UPSTREAM_PROMPT = "instruction"  # the column that upstream's default formatting needs


@dataclass(frozen=True, slots=True)
class DataSource:
    """A multiple-choice data set: its name and its files in order.

    Args:
        read_as: how each file is to be read; () if all say so themselves.
    """

    name: str
    files: tuple[Path, ...]
    num_samples: int | None = None
    read_as: tuple[ReadAs, ...] = ()

    @property
    def parts(self) -> list[tuple[Path, ReadAs]]:
        """Each file, and how it is to be read."""
        return list(zip(self.files, self.read_as or (AS_IT_IS,) * len(self.files), strict=True))


def find_source(name: str, dataset_dir: str) -> DataSource | None:
    """The files of a name or path, or None if the name is a data set in one of upstream's own formats.

    Args:
        name: may end with "?" and how it is to be read, as in "exam.csv?answer=key&answer_base=1".

    Raises:
        UserError: an unknown name, a file that is missing or outside its data folder, or a broken registry.
    """
    given, (name, query) = name, split_query(name)
    extension, upstream = _read_registry(EXTENSION), _read_info(dataset_dir)
    entries = {name: (entry, Path(dataset_dir)) for name, entry in (upstream or {}).items()}
    entries |= {name: (entry, PROJECT_DATA) for name, entry in extension.items()}
    if name in entries:
        entry, folder = entries[name]
        _check_shape(name, entry)
        if entry.get("formatting") == "mcq" or _is_multiple_choice(entry, folder):
            _check_keys(name, entry)
            source = _from_entry(name, entries)
            return replace(source, read_as=tuple(merged_query(read_as, query, given) for _, read_as in source.parts))
        if "file_name" in entry:
            path = contained(folder, entry["file_name"], f"data set {name!r}")
            if not path.exists():
                raise UserError(f"data set {name!r}: {escaped(str(path))}: not found")
        return None
    if looks_like_path(name):
        files = matching_paths(name)
        return DataSource(name, files, read_as=(merged_query(AS_IT_IS, query, given),) * len(files))
    if upstream is None:  # an online registry: only upstream can look up its names
        return None
    raise UserError(_unknown_name(name, dataset_dir, entries))


def is_local(name: str, dataset_dir: str) -> bool:
    """Whether a data set is on this machine. Ours always are; upstream's are if they are files of the data folder."""
    name = split_query(name)[0]
    upstream = _read_info(dataset_dir)
    if upstream is None or name not in upstream or name in _read_registry(EXTENSION):
        return upstream is not None
    return local_entry(name, dataset_dir) is not None


def local_entry(name: str, dataset_dir: str) -> tuple[dict[str, Any], Path] | None:
    """The registry entry of a data set in one of upstream's own formats, and its file or folder.

    Returns:
        None if upstream would fetch the data set: an entry with an address of a hub is read there, even if it also has
        a `file_name`.
    """
    entry = (_read_info(dataset_dir) or {}).get(split_query(name)[0])
    if not isinstance(entry, dict) or any(key in entry for key in _FETCHED):
        return None
    if not isinstance(entry.get("file_name"), str):  # `find_source` refuses another type
        return None
    return entry, Path(dataset_dir, entry["file_name"])


def looks_like_path(name: str) -> bool:
    """Whether a `--dataset` value is a path rather than a registered name."""
    return is_data_file(name) or is_pattern(name) or os.sep in name or exists(Path(name))


def contained(folder: Path, file_name: str, subject: str) -> Path:
    """`folder/file_name`, resolved.

    Args:
        subject: the first words of the message, such as "data set 'exam'".

    Raises:
        UserError: the path leaves the folder through `..`, an absolute path or a link.
    """
    try:
        path = (folder / file_name).resolve()
        path.exists()
    except (OSError, ValueError) as error:  # a NUL, half a character, or too long
        reason = error.strerror if isinstance(error, OSError) else "it has a character that no file's name can have"
        raise UserError(f"{subject}: file_name {quoted(file_name)}: {reason}; correct the name") from error
    if not path.is_relative_to(folder.resolve()):
        raise UserError(
            f"{subject}: file_name {file_name!r} leads outside the data folder {folder}; "
            "move the file into it, or pass the file's own path to --dataset"
        )
    return path


def _check_shape(name: str, entry: Any) -> None:
    """Check the types of an entry's values before using any."""
    if not isinstance(entry, dict):
        raise UserError(f"data set {name!r}: expected an object {{...}} in the registry, found {entry!r}")
    formatting = entry.get("formatting", "alpaca")
    if formatting not in FORMATTINGS:
        close = difflib.get_close_matches(str(formatting), FORMATTINGS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(FORMATTINGS)}"
        raise UserError(f"data set {name!r}: unknown formatting {formatting!r}; {hint}")
    file_name = entry.get("file_name")
    if formatting == "mcq":
        _check_keys(name, entry)
    if formatting == "mcq" and "sources" not in entry:
        names = [file_name] if isinstance(file_name, str) else file_name
        if not isinstance(names, list) or not all(isinstance(file, str) for file in names):
            raise UserError(f"data set {name!r}: file_name must be a file's name or a list of them, found {names!r}")
    elif "file_name" in entry and not isinstance(file_name, str):
        raise UserError(f"data set {name!r}: file_name must be a file's name, found {file_name!r}")
    num_samples = entry.get("num_samples")
    if num_samples is not None and (type(num_samples) is not int or num_samples < 1):
        raise UserError(
            f"data set {name!r}: num_samples must be a whole number of at least 1, found {num_samples!r}; leave it out "
            "to use every row"
        )
    for key in ("otherwise", "made_from"):
        if not isinstance(entry.get(key, ""), str):
            raise UserError(f"data set {name!r}: {key} must be a data set's name, found {entry[key]!r}")
    if [] in (entry.get("sources"), entry.get("file_name")):
        raise UserError(f"data set {name!r}: no file is named; add one to file_name or sources")
    sources = entry.get("sources", [])
    if not isinstance(sources, list) or not all(isinstance(source, str) for source in sources):
        raise UserError(f"data set {name!r}: sources must be a list of names, found {sources!r}")


_KEYS = (
    *("formatting", "file_name", "columns", "answer_base", "num_samples", "sources", "otherwise", "made_from"),
    *("made_by", "kaggle", "fetch"),
)

_OF_FILES = ("file_name", "columns", "answer_base")


def _check_keys(name: str, entry: dict[str, Any]) -> None:
    """Reject keys of a multiple-choice entry that would have no effect."""
    for key in entry:
        if key in _KEYS and not ("sources" in entry and key in _OF_FILES):
            continue
        if key in _KEYS:
            raise UserError(
                f"data set {name!r}: {key} has no effect beside sources; write it in the entries that these name"
            )
        if key in _FETCHED:
            raise UserError(
                f"data set {name!r}: {key}: multiple-choice data sets are files on this machine; download it, and name "
                "its file with file_name"
            )
        close = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.8)
        hint = f"did you mean {close[0]!r}?" if close else f"use {', '.join(_KEYS[:5])}"
        raise UserError(f"data set {name!r}: key {quoted(key)} has no effect on multiple-choice data; {hint}")
    if not isinstance(entry.get("columns", {}), dict):
        raise UserError(f"data set {name!r}: columns must be an object of names, found {quoted(entry['columns'])}")
    _read_as(name, entry)


def _read_as(name: str, entry: dict[str, Any]) -> ReadAs:
    """How the files of an entry are to be read."""
    subject, columns = f"data set {name!r}", entry.get("columns")
    base = checked_base(entry.get("answer_base", "auto"), subject)
    return ReadAs(column_names(columns, subject) if columns else None, base)


def _is_multiple_choice(entry: dict[str, Any], folder: Path) -> bool:
    """Whether an entry that names no formatting has a file of questions, on which upstream's default would fail."""
    file_name = entry.get("file_name")
    if "formatting" in entry or any(key in entry for key in _FETCHED):
        return False
    named = entry.get("columns", {})
    if named:  # upstream has no columns "options" and "answer"
        return isinstance(named, dict) and bool({"options", "answer"} & named.keys())
    path = folder / file_name if isinstance(file_name, str) else None
    columns = first_columns(path) if path is not None and path.is_file() else ()
    return UPSTREAM_PROMPT not in columns and is_a_form(columns)


def _from_entry(name: str, entries: dict[str, tuple[Any, Path]]) -> DataSource:
    parts, missing = _files_of(name, name, entries)
    files = [file for file, _ in parts]
    if missing:
        present_count = sum(file.is_file() for file in files)
        count = f" ({present_count} of its {len(files)} files exist)" if len(files) > 1 else ""
        raise UserError(f"data set {name!r} is not complete{count}:\n" + "\n".join(f"  {line}" for line in missing))
    return DataSource(name, tuple(files), entries[name][0].get("num_samples"), tuple(read_as for _, read_as in parts))


def _files_of(
    name: str, requested: str, entries: dict[str, tuple[Any, Path]]
) -> tuple[list[tuple[Path, ReadAs]], list[str]]:
    """The files of an entry: its own, those of its sources, or those of its substitute if its own are missing.

    Args:
        requested: the name of the data set that the files are for.

    Returns:
        (each file with the way to read it, a line for each missing file)
    """
    if name not in entries:
        raise UserError(f"data set {requested!r}: its source {name!r} is not a registered data set")
    entry, folder = entries[name]
    _check_shape(name, entry)
    if entry.get("formatting") == "mcq" and "sources" in entry and name == requested:
        for source in entry["sources"]:
            part = entries[source][0] if source in entries else None
            if isinstance(part, dict) and "num_samples" in part:
                raise UserError(
                    f"data set {requested!r}: num_samples of its source {source!r} has no effect here; write it beside "
                    "sources, or leave it out"
                )
        parts = [_files_of(source, requested, entries) for source in entry["sources"]]
        return [file for files, _ in parts for file in files], [line for _, missing in parts for line in missing]
    if "file_name" not in entry or not (entry.get("formatting") == "mcq" or _is_multiple_choice(entry, folder)):
        raise UserError(f"data set {requested!r}: its source {name!r} has no multiple-choice files")
    names = [entry["file_name"]] if isinstance(entry["file_name"], str) else entry["file_name"]
    files = [_jsonl_or_parquet(contained(folder, file, f"data set {name!r}")) for file in names]
    missing = [_missing_line(file, entry) for file in files if not file.exists()]
    if missing and "otherwise" in entry:
        return _files_of(entry["otherwise"], entry["otherwise"], _without(name, entries))
    if missing and "made_from" in entry:  # its sources may be missing, too
        missing += _files_of(entry["made_from"], entry["made_from"], _without(name, entries))[1]
    read_as = _read_as(name, entry)
    return [(file, read_as) for file in files], missing


def _without(name: str, entries: dict[str, tuple[Any, Path]]) -> dict[str, tuple[Any, Path]]:
    """All entries but one, so that an entry cannot refer back to itself."""
    return {key: entry for key, entry in entries.items() if key != name}


def _jsonl_or_parquet(file: Path) -> Path:
    """The file, or its Parquet version if only that exists: a build writes either."""
    parquet = file.with_suffix(".parquet")
    return parquet if file.suffix == ".jsonl" and not file.is_file() and parquet.is_file() else file


def _missing_line(file: Path, entry: dict[str, Any]) -> str:
    """The message for a missing file, with the way to get it."""
    line = f"{file}: not found"
    if "kaggle" in entry:
        line += f"; it is {file.name} of Kaggle's {entry['kaggle']}"
    if "fetch" in entry:
        line += f"; fetch it with: {entry['fetch']}"
    if "made_by" in entry:
        line += f"; {entry['made_by']}"
    return escaped(line)


def _unknown_name(name: str, dataset_dir: str, known: Iterable[str]) -> str:
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"choose from: {', '.join(names)}"
    return (
        f"unknown data set {name!r}: not in {EXTENSION.name}, not in {Path(dataset_dir) / INFO}, and not a file; {hint}"
    )


def _read_info(dataset_dir: str) -> dict[str, Any] | None:
    """An upstream-style registry: {} if the folder has none, None if the name is not a local folder."""
    if dataset_dir == "ONLINE" or dataset_dir.startswith("REMOTE:"):
        return None
    path = Path(dataset_dir) / INFO
    if not Path(dataset_dir).is_dir():
        raise UserError(f"--dataset_dir {dataset_dir}: no such folder; leave out the flag to use {PROJECT_DATA}")
    return _read_registry(path) if path.is_file() else {}


def _read_registry(path: Path) -> dict[str, Any]:
    return _parse_registry(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _parse_registry(path: Path, _mtime_ns: int) -> dict[str, Any]:
    try:
        registry = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except RecursionError:
        raise UserError(f"{path}: not readable: brackets are nested too deeply") from None
    except ValueError as error:
        raise UserError(f"{path}: not readable: {TOO_LONG_A_NUMBER}") from error
    if not isinstance(registry, dict):
        raise UserError(f"{path}: expected an object of data sets, found {type(registry).__name__}")
    return registry
