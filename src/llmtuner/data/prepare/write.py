"""Write the data sets as files with a manifest: all of them, or none."""

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
from llmtuner.data.unused import ORIGIN
from llmtuner.files import sha256_of_file, write_synced

Record = dict[str, Any]


def write_built(built: Built, out: Path, details: Mapping[str, Any], *, form: str, overwrite: bool) -> dict[str, Any]:
    """Write every set, the removed rows and the manifest.

    The files are written beside `out` and replace it when all are complete. After a full disk or an interruption, `out`
    still has its earlier content.

    Args:
        details: entries of the manifest before the counts and files.
        form: "jsonl" or "parquet".
        overwrite: whether an earlier build may be replaced.

    Returns:
        The manifest.

    Raises:
        UserError: `out` is not empty, or holds files that are not part of a build.
        RunError: the files could not be written.
    """
    check_out(out, overwrite=overwrite)
    with put_in_place(out) as folder:
        files: dict[str, Any] = {}
        for name, rows in built.sets.items():
            if not rows:  # an empty file cannot be read; a missing one has a clear message
                continue
            path = folder / f"{name}.{form}"
            _write(path, list(_records(rows, keep_ids=name == "llmscience_test")), form)
            files[path.name] = {"rows": len(rows), "sha256": sha256_of_file(path)}
        _write(folder / REMOVED, [_removed_record(removed) for removed in built.removed], "jsonl")
        files[REMOVED] = {"rows": len(built.removed), "sha256": sha256_of_file(folder / REMOVED)}
        reasons = Counter(removed.reason for removed in built.removed)
        contradiction_count = sum(removed.contradicts for removed in built.removed)
        counts = {"removed": dict(sorted(reasons.items())), "contradictions": contradiction_count}
        manifest = {**details, **counts, "notices": built.notices, "files": files}
        write_synced(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    return manifest


def _records(rows: Sequence[RawRow], *, keep_ids: bool) -> Iterator[Record]:
    """Rows as records. A repeated stable id gets a number as suffix.

    Args:
        keep_ids: whether to keep the file's own id, which Kaggle needs in a submission.
    """
    letters = LETTERS[: max([FIVE, *(len(row.question.options) for row in rows)])]
    id_counts: Counter[str] = Counter()
    for row in rows:
        question, name = row.question, stable_id(row.question)
        id_counts[name] += 1
        if id_counts[name] > 1:
            name = f"{name}-{id_counts[name]}"
        options = dict.fromkeys(letters, "") | dict(zip(LETTERS, question.options, strict=False))
        yield {
            "id": question.id if keep_ids else name,
            "prompt": question.question,
            "context": question.context,
            **options,
            "answer": question.answer_letter,
            **dict(zip(ORIGIN, (row.source, question.file, question.line, question.id), strict=True)),
        }


def _removed_record(removed: Removed) -> Record:
    record = {"reason": removed.reason, **next(_records([removed.row], keep_ids=False))}
    if removed.because_of is not None:
        cause = removed.because_of
        record["because_of"] = {
            "id": stable_id(cause.question),
            "source": cause.source,
            "file": cause.question.file,
            "line": cause.question.line,
            "answer": answer_text(cause.question),
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
