"""Data sets into files with a manifest: all of them, or none."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmtuner.data.duplicates import answer_text, stable_id
from llmtuner.data.prepare.build import FIVE, Built, RawRow, Removed
from llmtuner.data.prepare.place import MANIFEST, REMOVED, check_out, put_in_place
from llmtuner.data.question import LETTERS
from llmtuner.files import sha256_of_file, write_synced

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
    with put_in_place(out) as folder:
        files: dict[str, Any] = {}
        for name, rows in built.sets.items():
            if not rows:  # nothing can be read from an empty file; a missing one is said to be missing
                continue
            path = folder / f"{name}.{form}"
            _write(path, list(_records(rows, keep_ids=name == "llmscience_test")), form)
            files[path.name] = {"rows": len(rows), "sha256": sha256_of_file(path)}
        _write(folder / REMOVED, [_removed_record(removed) for removed in built.removed], "jsonl")
        files[REMOVED] = {"rows": len(built.removed), "sha256": sha256_of_file(folder / REMOVED)}
        reasons = Counter(removed.reason for removed in built.removed)
        contradictions = sum(removed.contradicts for removed in built.removed)
        counts = {"removed": dict(sorted(reasons.items())), "contradictions": contradictions}
        manifest = {**about, **counts, "notices": built.notices, "files": files}
        write_synced(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    return manifest


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
        write_synced(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = list(records[0]) if records else ["id", "prompt"]
    types = {"line": pa.int64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in columns])
    pq.write_table(pa.Table.from_pylist(list(records), schema=schema), path)
