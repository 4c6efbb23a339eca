"""Data sets into files with a manifest: all of them, or none."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmtuner.data.duplicates import answer_text, stable_id
from llmtuner.data.prepare.build import FIVE, SETS, Built, RawRow, Removed
from llmtuner.data.problems import file_name
from llmtuner.data.question import LETTERS
from llmtuner.errors import RunError, UserError

FORMATS = ("jsonl", "parquet")
MANIFEST, REMOVED = "manifest.json", "removed.jsonl"

Record = dict[str, Any]


def write_built(built: Built, out: Path, about: Mapping[str, Any], *, form: str, overwrite: bool) -> dict[str, Any]:
    """Write every set, what was removed, and the manifest; return the manifest.

    Files are written beside `out` and put in its place when all are whole: a full disk or an interruption leaves what
    was there.

    Args:
        about: what the manifest says beside files and counts.
        form: "jsonl" or "parquet".
        overwrite: whether an earlier build may be replaced.

    Raises:
        UserError: `out` is not empty, or holds what no build writes.
        RunError: the files could not be written.
    """
    check_out(out, overwrite=overwrite)
    with _beside(out) as folder:
        files: dict[str, Any] = {}
        for name, rows in built.sets.items():
            if not rows:  # nothing can be read from an empty file; a missing one is said to be missing
                continue
            path = folder / f"{name}.{form}"
            _write(path, list(_records(rows, keep_ids=name == "llmscience_test")), form)
            files[path.name] = {"rows": len(rows), "sha256": _digest(path)}
        _write(folder / REMOVED, [_removed_record(removed) for removed in built.removed], "jsonl")
        files[REMOVED] = {"rows": len(built.removed), "sha256": _digest(folder / REMOVED)}
        reasons = Counter(removed.reason for removed in built.removed)
        contradictions = sum(removed.contradicts for removed in built.removed)
        counts = {"removed": dict(sorted(reasons.items())), "contradictions": contradictions}
        manifest = {**about, **counts, "notices": built.notices, "files": files}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def check_out(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that must not be replaced.

    Raises:
        UserError: it is a file, it is not empty, or it holds what no build writes.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f"--out {file_name(out)}: is no folder; pass another")
    there = sorted(out.iterdir()) if out.is_dir() else []
    if there and not overwrite:
        raise UserError(
            f"--out {file_name(out)}: the folder is not empty; pass --overwrite to replace an earlier build"
        )
    foreign = [path.name for path in there if not _is_ours(path)]
    if foreign:
        raise UserError(
            f"--out {file_name(out)}: {file_name(foreign[0])} is in it, which no build writes; replacing the folder "
            "would delete it: move it away, or pass another --out"
        )


def _is_ours(path: Path) -> bool:
    """Whether a build writes a file of this name; nothing else is ever deleted."""
    names = {MANIFEST, REMOVED, *(f"{name}.{form}" for name in SETS for form in FORMATS)}
    return path.name in names and path.is_file() and not path.is_symlink()


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A new folder next to `out` that takes its place in the end."""
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.absolute().parent))
    except OSError as error:
        raise RunError(f"{file_name(out)}: cannot be written: {error.strerror}") from error
    try:
        yield folder
        folder.chmod(0o755)
        _put_in_place(folder, out)
    except OSError as error:
        raise RunError(
            f"{file_name(out)}: writing failed: {error.strerror}; what was there before is there still"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put_in_place(folder: Path, out: Path) -> None:
    """Rename, with the earlier folder aside until the new one is there."""
    earlier = folder.with_name(f"{folder.name}.earlier")
    if not out.is_dir():
        os.rename(folder, out)
        return
    os.rename(out, earlier)
    try:
        os.rename(folder, out)
    except BaseException:
        os.rename(earlier, out)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def _records(rows: Sequence[RawRow], *, keep_ids: bool) -> Iterator[Record]:
    """Rows as records; a stable id that is there before gets a number behind it.

    Args:
        keep_ids: `id` is the file's own, as Kaggle wants it in a submission.
    """
    letters = LETTERS[: max([FIVE, *(len(row.question.options) for row in rows)])]
    seen: Counter[str] = Counter()
    for row in rows:
        question, name = row.question, stable_id(row.question)
        seen[name] += 1
        if seen[name] > 1:
            name = f"{name}-{seen[name]}"
        options = dict.fromkeys(letters, "") | dict(zip(LETTERS, question.options, strict=False))
        yield {
            "id": question.id if keep_ids else name,
            "prompt": question.question,
            "context": question.context,
            **options,
            "answer": question.answer_letter,
            "source": row.source,
            "file": question.file,
            "line": question.line,
            "original_id": question.id,
        }


def _removed_record(removed: Removed) -> Record:
    record = {"reason": removed.reason, **next(_records([removed.row], keep_ids=False))}
    if removed.because_of is not None:
        other = removed.because_of
        record["because_of"] = {
            "id": stable_id(other.question),
            "source": other.source,
            "file": other.question.file,
            "line": other.question.line,
            "answer": answer_text(other.question),
        }
        record["contradicts"] = removed.contradicts
    return record


def _write(path: Path, records: Sequence[Record], form: str) -> None:
    if form == "jsonl":
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
            file.flush()
            os.fsync(file.fileno())
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = list(records[0]) if records else ["id", "prompt"]
    types = {"line": pa.int64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in columns])
    pq.write_table(pa.Table.from_pylist(list(records), schema=schema), path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
