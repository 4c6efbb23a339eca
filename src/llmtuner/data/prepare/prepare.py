"""From a folder of downloads to data sets, with a word on everything that was found, missed and left out."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llmtuner.data.load import read_questions
from llmtuner.data.prepare.build import Built, RawRow, Settings, build
from llmtuner.data.prepare.find import RawFile, find_files
from llmtuner.data.prepare.place import FORMATS, check_out, clear_leftovers
from llmtuner.data.prepare.sources import SOURCES, TEST, TEST_FILE, TEST_ROWS, TOTAL, Source, instead_of
from llmtuner.data.prepare.write import write_built
from llmtuner.data.problems import terminal_path
from llmtuner.errors import DataError, UserError


@dataclass(frozen=True, slots=True)
class Prepared:
    """A finished build.

    Args:
        table: a line a source: found, expected, missing.
        warnings: what the readers noticed, as file:line.
        manifest: what manifest.json says.
    """

    table: list[str]
    warnings: list[str]
    manifest: dict[str, Any]
    built: Built


def prepare(
    raw: str | Path, out: str | Path, settings: Settings | None = None, *, form: str = "jsonl", overwrite: bool = False
) -> Prepared:
    """Build the llmscience data sets; the same input gives the same bytes.

    Args:
        raw: the folder with the Kaggle files, zipped or not.
        out: where the data sets go; put in place as a whole.

    Raises:
        UserError, DataError: the folders, the files or the settings.
        RunError: the output could not be written.
    """
    for flag, folder in (("--raw", raw), ("--out", out)):
        if not os.fspath(folder).strip():  # an unset variable in a script, and not the working directory
            raise UserError(f"{flag}: no folder is named")
    settings, raw, out = settings or Settings(), Path(raw), _straight(Path(out))
    if form not in FORMATS:
        raise UserError(f"--format {terminal_path(form)}: known are {' and '.join(FORMATS)}")
    clear_leftovers(out)
    check_out(out, overwrite=overwrite)
    with tempfile.TemporaryDirectory(prefix="llmscience-") as unpacked:
        files = find_files(raw, Path(unpacked))
        warnings: list[str] = []
        rows = [row for source in SOURCES.values() for row in _rows_of(source, files, warnings)]
        test = _read(files[TEST_FILE], TEST, warnings) if TEST_FILE in files else []
    if not rows:
        wanted = ", ".join(name for source in SOURCES.values() for name in source.files)
        raise UserError(
            f"--raw {terminal_path(raw)}: none of the Kaggle files is in it; looked for {wanted}, also inside zip files"
        )
    built = build(rows, test, settings)
    built.notices[:0] = [*_incomplete(files, [*rows, *test]), *_partly_held_out(settings.hold_out, files)]
    sources = {source.name: _found(source, files, rows) for source in SOURCES.values()}
    about = {
        "settings": asdict(settings),
        "format": form,
        "sources": sources,
        "inputs": {file.shown: file.sha256 for file in _used(files)},
    }
    manifest = write_built(built, out, about, form=form, overwrite=overwrite)
    return Prepared(_table(sources, len(test)), warnings, manifest, built)


def _straight(out: Path) -> Path:
    """Without "..": a path through the folder that is replaced leads nowhere while it is aside.

    A link as its last part stays one, so that it can be refused.
    """
    if ".." not in out.parts:
        return out
    return out.resolve() if out.name == ".." else out.parent.resolve() / out.name


def _file_of(name: str, files: Mapping[str, RawFile]) -> RawFile | None:
    return files.get(name) or files.get(instead_of(name))


def _used(files: Mapping[str, RawFile]) -> list[RawFile]:
    names = [*(name for source in SOURCES.values() for name in source.files), TEST_FILE]
    return [file for name in names if (file := _file_of(name, files)) is not None]


def _rows_of(source: Source, files: Mapping[str, RawFile], warnings: list[str]) -> list[RawRow]:
    found = [_file_of(name, files) for name in source.files]
    return [row for file in found if file is not None for row in _read(file, source.name, warnings)]


def _read(file: RawFile, source: str, warnings: list[str]) -> list[RawRow]:
    try:
        read = read_questions(file.path, purpose="predict" if source == TEST else "train")
    except DataError as error:
        if not file.packed:
            raise
        # The copy is gone by the time that this is read. Its path is a random one: no text of the data has it.
        raise DataError(str(error).replace(terminal_path(file.path), file.shown)) from error
    warnings += [str(replace(warning, file=file.shown)) for warning in read.warnings]
    return [RawRow(replace(question, file=file.shown), source) for question in read.questions]


def _incomplete(files: Mapping[str, RawFile], rows: Sequence[RawRow]) -> list[str]:
    """What is missing, what has too few rows and what has too many, a line each."""
    found = Counter(row.question.file for row in rows)
    missing, fewer, more = list[str](), list[str](), list[str]()
    wanted = [item for source in SOURCES.values() for item in source.files.items()]
    for name, expected in [*wanted, (TEST_FILE, TEST_ROWS)]:
        file = _file_of(name, files)
        if file is None:
            missing.append(name)
        elif (count := found[file.shown]) != expected:
            (fewer if count < expected else more).append(f"{file.shown} ({count:,} of {expected:,})")
    lines = []
    if missing:
        lines.append(f"INCOMPLETE: {', '.join(missing)} not found; data/README.md says how to fetch what is missing")
    if TEST_FILE in missing:
        lines.append("Without test.csv there is no llmscience_test, and what repeats a test question stays in training")
    if fewer:
        lines.append(f"INCOMPLETE: fewer rows than Kaggle's file has in {', '.join(fewer)}; download it again")
    if more:
        lines.append(f"More rows than Kaggle's file has in {', '.join(more)}: built with all of them")
    return lines


def _partly_held_out(names: Sequence[str], files: Mapping[str, RawFile]) -> list[str]:
    lines = []
    for name in names:
        missing = [file for file in SOURCES[name].files if _file_of(file, files) is None]
        if missing:
            lines.append(
                f"--hold_out {name}: held out in part: {', '.join(missing)} is not there, so what repeats a question "
                "of it stays in the training sets"
            )
    return lines


def _found(source: Source, files: Mapping[str, RawFile], rows: list[RawRow]) -> dict[str, Any]:
    return {
        "title": source.title,
        "rows": sum(row.source == source.name for row in rows),
        "expected": source.rows,
        "missing": [name for name in source.files if _file_of(name, files) is None],
        "kaggle": source.kaggle,
    }


def _table(sources: Mapping[str, Mapping[str, Any]], test: int) -> list[str]:
    """The notes' table with what is there."""
    lines = [f"{'source':22}{'found':>8}{'expected':>10}  missing"]
    for name, source in sources.items():
        missing = ", ".join(source["missing"])
        where = f" ({source['kaggle']})" if missing else ""
        lines.append(
            f"{source['title'] + ' ' + name:14}{source['rows']:>8,}{source['expected']:>10,}  {missing}{where}"
        )
    found = sum(source["rows"] for source in sources.values())
    lines.append(f"{'test.csv':22}{test:>8,}{TEST_ROWS:>10,}  {'' if test else TEST_FILE}".rstrip())
    lines.append(f"{'ALL':22}{found:>8,}{TOTAL:>10,}")
    return lines
