"""The files of a corpus: from the paths, folders and patterns that were given."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from stat import S_ISDIR
from urllib.parse import unquote

from llmtuner.data.paths import data_files, matching_paths, saved_splits
from llmtuner.data.problems import escaped, quoted, terminal_path
from llmtuner.data.read_as import split_query
from llmtuner.data.sniff import path_status, split_suffix
from llmtuner.errors import DataError, UserError
from llmtuner.retrieval.corpus.rows import CorpusFile, CorpusNotes, TextColumns
from llmtuner.retrieval.corpus.types import COMPRESSED, OTHERS, READERS, TABLES
from llmtuner.spec.retrievers import CHUNKS, MANIFEST

_ROLES = ("text", "id", "title")
_ABOUT = ("readme", "license", "licence", "notice", "changelog")  # beside tables, they are about them


def corpus_files(paths: Iterable[str | os.PathLike[str]], notes: CorpusNotes | None = None) -> list[CorpusFile]:
    """The files that paths stand for, in the order of the paths; those of a folder in the order of their names.

    Args:
        paths: files, folders, folders that `save_to_disk` of the library datasets wrote, or patterns with *, ? or
            [...]; each may name its columns: "wiki.jsonl?text=body&id=key&title=name".

    Raises:
        UserError: no path, a file given twice, or an unknown key behind a path.
        DataError: no such path, or a folder without files of a corpus.
    """
    notes = CorpusNotes() if notes is None else notes
    files: list[CorpusFile] = []
    for given in [os.fspath(path) for path in paths]:
        name, query = split_query(given)
        columns = _columns(query, given) if query else TextColumns()
        for path in matching_paths(name):
            if S_ISDIR(path_status(path).st_mode):
                files += _in_folder(path, columns, notes)
            else:
                _check_type(path)
                files.append(CorpusFile(path, path.name, columns))
    if not files:
        raise UserError("no corpus given; name a file or a folder with texts")
    counts = Counter(file.path.resolve() for file in files)
    twice = next((file for file in files if counts[file.path.resolve()] > 1), None)
    if twice is not None:
        raise UserError(f"{twice.shown}: is given twice; name it once")
    return files


def _columns(query: str, given: str) -> TextColumns:
    names: dict[str, str] = {}
    for part in query.split("&"):
        role, _, value = part.partition("=")
        if role not in _ROLES:
            raise UserError(
                f"{escaped(given)}: unknown key {quoted(role)} behind the question mark; use {', '.join(_ROLES)}"
            )
        if role in names:
            raise UserError(f"{escaped(given)}: {role} is given twice; keep one")
        if not value:
            raise UserError(f"{escaped(given)}: {role} names no column; write {role}=NAME, or leave it out")
        names[role] = unquote(value)
    return TextColumns(**names)


def _type(path: Path) -> str:
    """The type of a corpus file by its suffix, or ""."""
    suffix, compression = split_suffix(path)
    return suffix if suffix in (COMPRESSED if compression else READERS) else ""


def _check_type(path: Path) -> None:
    if not _type(path):
        known = f"use one of {', '.join(READERS)} ({', '.join(sorted(COMPRESSED))} also with .gz or .zst)"
        fix = OTHERS.get(path.suffix.lower(), known).format(name=shlex.quote(terminal_path(path.name)))
        raise DataError(f"{terminal_path(path)}: {quoted(path.suffix)} is no type of a corpus file; {fix}")


def _check_no_index(folder: Path) -> None:
    if _is_index(folder):
        raise DataError(f"{terminal_path(folder)}: is an index that scripts/build_index.py made; give its corpus")


def _to_enter(place: Path, names: Sequence[str], notes: CorpusNotes) -> list[str]:
    """The folders below one that are read: neither hidden ones nor links, which may lead in a circle, nor indexes."""
    entered = []
    for name in sorted(name for name in names if not name.startswith(".")):
        path = place / name
        if path.is_symlink():
            notes.notices.append(f"{terminal_path(path)}: is a link to a folder, and is not read; name it as a path")
        elif _is_index(path):
            notes.notices.append(f"{terminal_path(path)}: is an index, and is not read")
        else:
            entered.append(name)
    return entered


def _is_index(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() and (folder / CHUNKS).is_file()


def _in_folder(folder: Path, columns: TextColumns, notes: CorpusNotes) -> list[CorpusFile]:
    """The corpus files in a folder and the folders below it; those whose name begins with a dot are left out."""
    files: list[CorpusFile] = []
    others: Counter[str] = Counter()

    def refuse(error: OSError) -> None:
        raise DataError(f"{terminal_path(error.filename)}: cannot be read: {error.strerror}") from error

    _check_no_index(folder)
    for place, folders, names in os.walk(folder, onerror=refuse):
        splits = saved_splits(Path(place))
        if splits:
            folders.clear()
            paths = [path for split in splits for path in data_files(split)]
        else:
            folders[:] = _to_enter(Path(place), folders, notes)
            paths = [Path(place, name) for name in sorted(names) if not name.startswith(".")]
        for path in paths:
            if _type(path):
                files.append(CorpusFile(path, path.relative_to(folder).as_posix(), columns))
            else:
                others[path.suffix.lower() or path.name] += 1
    if any(split_suffix(file.path)[0] in TABLES for file in files):
        about = [file for file in files if file.path.name.lower().startswith(_ABOUT)]
        files = [file for file in files if file not in about]
        notes.notices += [f"{file.shown}: is about the data beside it, and is not read" for file in about]
    if not files:
        raise DataError(
            f"{terminal_path(folder)}: is a folder without files of a corpus; expected files that end in "
            f"{', '.join(READERS)}"
        )
    if others:
        listed = ", ".join(f"{escaped(suffix)} ({count})" for suffix, count in sorted(others.items())[:6])
        notes.notices.append(f"{terminal_path(folder)}: files of other types are not read: {listed}")
    return sorted(files, key=lambda file: file.name)
