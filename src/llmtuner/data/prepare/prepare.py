"""Build the data sets from a folder of downloads, with notices on missing files and removed rows."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llmtuner.data.load import read_questions
from llmtuner.data.prepare.build import BuildSettings, Built, RawRow, build
from llmtuner.data.prepare.find import RawFile, find_files
from llmtuner.data.prepare.place import FORMATS, check_out, clear_leftovers
from llmtuner.data.prepare.sources import SOURCES, TEST, TEST_FILE, TEST_ROWS, TOTAL, Source, substitute_of
from llmtuner.data.prepare.write import write_built
from llmtuner.data.problems import terminal_path
from llmtuner.errors import DataError, UserError


@dataclass(frozen=True, slots=True)
class Prepared:
    """A finished build.

    Args:
        table: lines of a table with found and expected rows and missing files, one for each source.
        warnings: warnings of the readers, as file:line.
        manifest: the content of manifest.json.
    """

    table: list[str]
    warnings: list[str]
    manifest: dict[str, Any]
    built: Built


def prepare_llmscience(
    raw: str | Path,
    out: str | Path,
    settings: BuildSettings | None = None,
    *,
    form: str = "jsonl",
    overwrite: bool = False,
) -> Prepared:
    """Build the llmscience data sets. The same input gives the same bytes.

    Args:
        raw: the folder with the Kaggle files, zipped or not.
        out: the folder for the data sets; it is replaced as a whole.
        form: "jsonl" or "parquet".
        overwrite: whether an earlier build may be replaced.

    Raises:
        UserError: a mistake in the folders or settings, or there are no files.
        DataError: defects of the files.
        RunError: the output could not be written.
    """
    for flag, folder in (("--raw", raw), ("--out", out)):
        if not os.fspath(folder).strip():  # an unset variable in a script; it does not mean the working directory
            raise UserError(f"{flag}: no folder is named; pass one")
    settings, raw, out = settings or BuildSettings(), Path(raw), _without_parent_steps(Path(out))
    if form not in FORMATS:
        raise UserError(f"--format {terminal_path(form)}: unknown format; choose {' or '.join(FORMATS)}")
    clear_leftovers(out)
    check_out(out, overwrite=overwrite)
    with tempfile.TemporaryDirectory(prefix="llmscience-") as unpacked:
        files = find_files(raw, Path(unpacked))
        warnings: list[str] = []
        rows = [row for source in SOURCES.values() for row in _rows_of(source, files, warnings)]
        test = _read(files[TEST_FILE], TEST, warnings) if TEST_FILE in files else []
    if not rows:
        names = ", ".join(name for source in SOURCES.values() for name in source.files)
        raise UserError(
            f"--raw {terminal_path(raw)}: none of the Kaggle files is in it, not even in a zip file; download them "
            f"first (data/README.md): {names}"
        )
    built = build(rows, test, settings)
    built.notices[:0] = [*_incomplete(files, [*rows, *test]), *_partly_held_out(settings.hold_out, files)]
    sources = {source.name: _source_record(source, files, rows) for source in SOURCES.values()}
    details = {
        "settings": asdict(settings),
        "format": form,
        "sources": sources,
        "inputs": {file.display_path: file.sha256 for file in _used(files)},
    }
    manifest = write_built(built, out, details, form=form, overwrite=overwrite)
    return Prepared(_table(sources, len(test)), warnings, manifest, built)


def _without_parent_steps(out: Path) -> Path:
    """The path without "..": a path through the folder to be replaced breaks while that folder is renamed.

    A link as the last part is not resolved, so that it can be rejected.
    """
    if ".." not in out.parts:
        return out
    return out.resolve() if out.name == ".." else out.parent.resolve() / out.name


def _file_of(name: str, files: Mapping[str, RawFile]) -> RawFile | None:
    return files.get(name) or files.get(substitute_of(name))


def _used(files: Mapping[str, RawFile]) -> list[RawFile]:
    names = [*(name for source in SOURCES.values() for name in source.files), TEST_FILE]
    return [file for name in names if (file := _file_of(name, files)) is not None]


def _rows_of(source: Source, files: Mapping[str, RawFile], warnings: list[str]) -> list[RawRow]:
    source_files = [_file_of(name, files) for name in source.files]
    return [row for file in source_files if file is not None for row in _read(file, source.name, warnings)]


def _read(file: RawFile, source: str, warnings: list[str]) -> list[RawRow]:
    try:
        question_file = read_questions(file.path, purpose="predict" if source == TEST else "train")
    except DataError as error:
        if not file.packed:
            raise
        # The copy is deleted before the user sees the message. Its path is random, so the data cannot contain it.
        raise DataError(str(error).replace(terminal_path(file.path), file.display_path)) from error
    warnings += [str(replace(warning, file=file.display_path)) for warning in question_file.warnings]
    return [RawRow(replace(question, file=file.display_path), source) for question in question_file.questions]


def _incomplete(files: Mapping[str, RawFile], rows: Sequence[RawRow]) -> list[str]:
    """Notices on missing files, and on files with too few or too many rows."""
    row_counts = Counter(row.question.file for row in rows)
    missing, fewer, more = list[str](), list[str](), list[str]()
    expected_rows = [item for source in SOURCES.values() for item in source.files.items()]
    for name, expected in [*expected_rows, (TEST_FILE, TEST_ROWS)]:
        file = _file_of(name, files)
        if file is None:
            missing.append(name)
        elif (count := row_counts[file.display_path]) != expected:
            (fewer if count < expected else more).append(f"{file.display_path} ({count:,} of {expected:,})")
    lines = []
    if missing:
        lines.append(f"INCOMPLETE: {', '.join(missing)} not found; data/README.md says how to download missing files")
    if TEST_FILE in missing:
        lines.append(
            "Without test.csv there is no llmscience_test, and repeats of test questions stay in the training sets"
        )
    if fewer:
        lines.append(f"INCOMPLETE: fewer rows than in Kaggle's file: {', '.join(fewer)}; download it again")
    if more:
        lines.append(f"More rows than in Kaggle's file: {', '.join(more)}; all of them are used")
    return lines


def _partly_held_out(names: Sequence[str], files: Mapping[str, RawFile]) -> list[str]:
    lines = []
    for name in names:
        missing = [file for file in SOURCES[name].files if _file_of(file, files) is None]
        if missing:
            lines.append(
                f"--hold_out {name}: held out in part: {', '.join(missing)} is missing, so repeats of its questions "
                "stay in the training sets"
            )
    return lines


def _source_record(source: Source, files: Mapping[str, RawFile], rows: list[RawRow]) -> dict[str, Any]:
    return {
        "title": source.title,
        "rows": sum(row.source == source.name for row in rows),
        "expected": source.rows,
        "missing": [name for name in source.files if _file_of(name, files) is None],
        "kaggle": source.kaggle,
    }


def _table(sources: Mapping[str, Mapping[str, Any]], test: int) -> list[str]:
    """The notes' table of sources with found and expected rows."""
    lines = [f"{'source':22}{'found':>8}{'expected':>10}  missing"]
    for name, source in sources.items():
        missing = ", ".join(source["missing"])
        download = f" ({source['kaggle']})" if missing else ""
        lines.append(
            f"{source['title'] + ' ' + name:14}{source['rows']:>8,}{source['expected']:>10,}  {missing}{download}"
        )
    total_rows = sum(source["rows"] for source in sources.values())
    lines.append(f"{'test.csv':22}{test:>8,}{TEST_ROWS:>10,}  {'' if test else TEST_FILE}".rstrip())
    lines.append(f"{'ALL':22}{total_rows:>8,}{TOTAL:>10,}")
    return lines
