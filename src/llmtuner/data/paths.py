"""The files that a path stands for: itself, the files of a folder's split, or those that match a pattern."""

from __future__ import annotations

import difflib
import glob
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from llmtuner.data.problems import quoted, terminal_path
from llmtuner.data.readers import PARSERS, READERS
from llmtuner.data.sniff import file_status, path_status, split_suffix
from llmtuner.errors import DataError

FileState = tuple[str, int, int]  # its path, the time of its last change in ns, its size in bytes
_NO_DATA = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")  # they describe a data set
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})$")
TRAIN = "train"  # the split that a saved folder with several is read as
_DEPTH = 4  # folders below the given one: data/, a configuration, a split
_LISTED = 6


def is_data_file(name: str) -> bool:
    """Whether a file's name has a suffix of a type that is read, compressed or not."""
    suffix, compression = split_suffix(Path(name))
    return suffix in (PARSERS if compression else READERS)


def matching_paths(name: str) -> tuple[Path, ...]:
    """The path of that name, or the paths that match it as a pattern with *, ? or [...], in the order of their names.

    Raises:
        DataError: a pattern without a match, with the names that are most like it.
    """
    path = Path(name)
    if exists(path) or not is_pattern(name):
        return (path.absolute(),)
    paths = sorted(glob.glob(name, recursive=True))
    if not paths:
        folder = Path(os.path.dirname(re.split(r"[*?\[]", name, maxsplit=1)[0]) or ".")
        names = [entry for entry in _entries(folder) if is_data_file(entry)] if folder.is_dir() else []
        close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.4) or names[:3]
        hint = f"; did you mean {' or '.join(terminal_path(each) for each in close)}?" if close else ""
        raise DataError(f"{terminal_path(name)}: no file matches (looked in {terminal_path(folder.absolute())}){hint}")
    return tuple(Path(each).absolute() for each in paths)


def is_pattern(name: str) -> bool:
    """Whether a name that is no file may be a pattern. `exam.csv?answer=key` is a path with a column's name."""
    return glob.has_magic(re.sub(r"\?(?=\w+=).*$", "", name))


def data_files(path: Path) -> tuple[Path, ...]:
    """The files of a path: a file itself, or all files of one split in a folder, in the order of their names.

    Folders are those of `save_to_disk` of the library datasets, and those of data sets on the hub, with Parquet, JSON
    Lines, CSV or other data files.

    Raises:
        DataError: no such path, a folder without data or with several splits (they are named), or a missing part.
    """
    if not S_ISDIR(path_status(path).st_mode):
        file_status(path)
        return (path,)
    return _folder_files(path, path, _DEPTH)


def other_splits(path: Path) -> tuple[Path, ...]:
    """The splits beside `train` in a folder that `DatasetDict.save_to_disk` wrote; the folder is read as its `train`.

    Returns:
        () for any other path, and for such a folder without `train`, whose splits have to be named.
    """
    listed = path / "dataset_dict.json"
    splits = _names_in(listed, "splits") if listed.is_file() else []
    return tuple(path / split for split in splits if split != TRAIN) if TRAIN in splits else ()


def splits_left_out(path: Path, read: Path) -> tuple[Path, ...]:
    """The splits beside the one that is read where a path, or a folder below it, is one with several splits.

    Args:
        read: a file of those that are read.
    """
    folders = (folder for folder in read.parents if folder == path or path in folder.parents)
    return next(filter(None, map(other_splits, folders)), ())


def saved_splits(folder: Path) -> tuple[Path, ...]:
    """The folders of all splits if `save_to_disk` of the library datasets wrote this folder; () for any other one."""
    listed = folder / "dataset_dict.json"
    if listed.is_file():
        return tuple(folder / split for split in _names_in(listed, "splits"))
    return (folder,) if (folder / "state.json").is_file() else ()


def path_state(path: Path) -> tuple[FileState, ...]:
    """The state of all files of a path: equal as long as none of them changes.

    Raises:
        DataError: as for `data_files`.
    """
    files = data_files(path)
    states = [(str(file), file_status(file)) for file in files]
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in states)


def _folder_files(folder: Path, given: Path, depth: int) -> tuple[Path, ...]:
    names = _entries(folder)
    if "state.json" in names and "dataset_dict.json" not in names:
        return _saved_files(folder)
    if "dataset_dict.json" in names:
        splits = _names_in(folder / "dataset_dict.json", "splits")
        if other_splits(folder):
            splits = [TRAIN]
        return _only(folder, [folder / split for split in splits], given, "splits", depth)
    files = [name for name in names if is_data_file(name) and name not in _NO_DATA and (folder / name).is_file()]
    below = [folder / name for name in names if not name.startswith(".") and _holds_data(folder / name, depth - 1)]
    if files and below:
        ways = [terminal_path(each) for each in (*below, *(folder / name for name in files))][:_LISTED]
        raise DataError(
            f"{terminal_path(given)}: is a folder with data files and folders of data files, expected one split; "
            f"choose from {', '.join(ways)}"
        )
    if below:
        return _only(folder, below, given, "folders of data files", depth)
    if not files:
        raise DataError(
            f"{terminal_path(given)}: is a folder (directory) without data files; expected a file, or a folder with "
            f"files that end in {', '.join(READERS)}"
        )
    return _split_files(folder, files, given)


def _only(folder: Path, folders: list[Path], given: Path, kind: str, depth: int) -> tuple[Path, ...]:
    """The files of the only one of several folders."""
    if len(folders) == 1 and depth:
        path_status(folders[0])
        return _folder_files(folders[0], given, depth - 1)
    listed = ", ".join(terminal_path(each) for each in folders[:_LISTED]) or "none"
    raise DataError(
        f"{terminal_path(given)}: is a folder with {len(folders)} {kind}, expected one; choose from {listed}"
    )


def _saved_files(folder: Path) -> tuple[Path, ...]:
    """The Arrow files that state.json of `Dataset.save_to_disk` names."""
    state = folder / "state.json"
    if _json(state).get("_indices_data_files"):
        raise DataError(
            f"{terminal_path(folder)}: a selection of rows, saved by an old version of datasets; load it there, "
            "and save it again"
        )
    files = tuple(folder / name for name in _names_in(state, "_data_files", "filename"))
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        listed = ", ".join(missing[:_LISTED]) or "any data"
        raise DataError(f"{terminal_path(folder)}: is not complete: {listed} is missing; copy the whole folder")
    return files


def _split_files(folder: Path, files: list[str], given: Path) -> tuple[Path, ...]:
    """The files of the one split: all shards of one name, or the only file."""
    groups: dict[str, list[str]] = {}
    for name in files:
        stem, suffix = _stem(name), name[len(_stem(name)) :]
        groups.setdefault(re.sub(r"[-_.]?\d+$", "", _SHARD.sub("", stem)) + suffix, []).append(name)
    if len(groups) > 1:
        ways = [
            terminal_path(folder / names[0]) if len(names) == 1 else _pattern(folder, names)
            for names in groups.values()
        ]
        listed = ", ".join(ways[:_LISTED])
        raise DataError(
            f"{terminal_path(given)}: is a folder with several splits or files, expected one; choose from {listed}"
        )
    [names] = groups.values()
    shards = [match for name in names if (match := _SHARD.search(_stem(name)))]
    total = max((int(shard[2]) for shard in shards), default=0)
    if shards and (len(shards) < len(names) or any(int(shard[2]) != total for shard in shards)):
        listed = ", ".join(map(terminal_path, names[:_LISTED]))
        raise DataError(
            f"{terminal_path(folder)}: holds one split twice, in different numbers of files: {listed}; keep one of them"
        )
    missing = sorted(set(range(total)) - {int(shard[1]) for shard in shards})
    if missing:
        files_missing = f"{len(missing)} of {total} files {_pattern(folder, names)} are missing"
        raise DataError(
            f"{terminal_path(folder)}: is not complete: {files_missing}, the first is {missing[0]:05d}; download them"
        )
    return tuple(folder / name for name in names)


def _pattern(folder: Path, names: list[str]) -> str:
    """The pattern that matches the shards of a name, in quotes, so that the shell does not replace it."""
    stem = _stem(names[0])
    pattern = re.sub(r"\d*$", "*", _SHARD.sub("-", stem), count=1) + names[0][len(stem) :]
    return f"'{terminal_path(folder / pattern)}'"


def _stem(name: str) -> str:
    """A file's name without the suffixes of its type and its compression."""
    suffix, compression = split_suffix(Path(name))
    return name[: len(name) - len(suffix) - len(compression)]


def _holds_data(path: Path, depth: int) -> bool:
    """Whether a folder, or one below it, has data files."""
    if depth < 0 or not path.is_dir():
        return False
    names = _entries(path)
    return any(is_data_file(name) and name not in _NO_DATA for name in names) or any(
        _holds_data(path / name, depth - 1) for name in names if not name.startswith(".")
    )


def _names_in(path: Path, key: str, item_key: str = "") -> list[str]:
    """Names of files or folders beside a JSON file, as listed in it.

    Raises:
        DataError: no list of names, or a name that leads out of the folder.
    """
    items = _json(path).get(key)
    names = [item.get(item_key) if item_key and isinstance(item, dict) else item for item in _as_list(items)]
    checked: list[str] = []
    for name in names:
        if not isinstance(name, str) or name in ("", ".", "..") or set(name) & {"/", "\\", "\0"}:
            raise DataError(f"{terminal_path(path)}: {key} must list names in this folder, found {quoted(name)}")
        checked.append(name)
    return checked


def _as_list(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [value]


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{terminal_path(path)}: not readable: {error}; copy the whole folder again") from error
    if not isinstance(value, dict):
        raise DataError(f"{terminal_path(path)}: expected an object; copy the whole folder again")
    return value


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(f"{terminal_path(folder)}: cannot be read: {error.strerror or error}") from error


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; names that cannot exist do not."""
    try:
        return path.exists()
    except (OSError, ValueError):  # the reader says what is wrong with the name
        return False
