"""A digest of training data: the same content has the same digest, whatever its file is called and when it was copied.

Manifests and the cache of tokenised data store it, to notice that a run would continue on other data.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from llmtuner.data.load import read_questions
from llmtuner.data.paths import FileState, path_state
from llmtuner.data.question import Question
from llmtuner.data.read_as import ReadAs
from llmtuner.data.registry import find_source, local_entry
from llmtuner.errors import DataError
from llmtuner.files import sha256_of_file, sha256_of_json

_ROWS_AT_ONCE = 1000  # one call of the JSON encoder for each question would take twice as long


def data_digest(names: Sequence[str], dataset_dir: str) -> tuple[str, int | None] | None:
    """SHA-256 of the content of data sets, and their number of rows.

    Of multiple-choice files, the questions count (id, question, options, answer, context, targets, in order), not the
    bytes: a copy, another folder, other line ends or Parquet instead of JSONL are the same data. Of upstream's other
    formats, the bytes of the files and the registry entry count. Files that were read in this process are not read
    again.

        >>> data_digest(["data/exam/exam.csv"], "data")
        ('1f6a...', 2400)
        >>> data_digest(["alpaca_en"], "data")      # another format: its rows are not counted
        ('93c0...', None)
        >>> data_digest(["name_on_the_hub"], "ONLINE") is None
        True

    Args:
        names: the values of --dataset: names or paths, in order.
        dataset_dir: the folder with dataset_info.json.

    Returns:
        (64 hexadecimal digits, rows after the registry's `num_samples`; None if a format is not ours).
        None if any of the data is on a hub, where its content cannot be read without fetching it.

    Raises:
        UserError: an unknown name or a broken registry.
        DataError: defects of a file.
    """
    parts: list[dict[str, Any]] = []
    rows, counted = 0, True
    for name in names:
        source = find_source(name, dataset_dir)
        if source is not None:
            files = [_digest_of_file(file, source.name, read_as) for file, read_as in source.parts]
            parts.append({"num_samples": source.num_samples, "questions": [digest for digest, _ in files]})
            rows += sum(count for _, count in files) if source.num_samples is None else source.num_samples
            continue
        local = local_entry(name, dataset_dir)
        if local is None:
            return None
        entry, path = local
        parts.append({"entry": entry, "files": _byte_digests(path)})
        counted = False
    return sha256_of_json(parts), rows if counted else None


def questions_digest(questions: Iterable[Question]) -> str:
    """SHA-256 of what questions say, in their order: id, question, options, answer and context.

    Also probabilities and weight, of the questions that have them: other data have the digest that they always had.
    """
    digest = hashlib.sha256()
    rows = [(each.id, each.question, each.options, each.answer, each.context, *_targets(each)) for each in questions]
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        digest.update(json.dumps(rows[start : start + _ROWS_AT_ONCE]).encode())
    return digest.hexdigest()


def _targets(question: Question) -> tuple[Any, ...]:
    has_any = question.probabilities is not None or question.weight != 1
    return (question.probabilities, question.weight) if has_any else ()


def _digest_of_file(file: Path, dataset: str, read_as: ReadAs) -> tuple[str, int]:
    return _digest_cached(file, file.resolve(), path_state(file), dataset, read_as)


@lru_cache(maxsize=32)
def _digest_cached(
    file: Path, _resolved: Path, _state: tuple[FileState, ...], dataset: str, read_as: ReadAs
) -> tuple[str, int]:
    """A file's digest and its number of questions. With the arguments of the checks before a run, it is read once."""
    questions = read_questions(file, purpose="predict", dataset=dataset, read_as=read_as).questions
    return questions_digest(questions), len(questions)


def _byte_digests(path: Path) -> dict[str, str]:
    """Digests of a file, or of the files that upstream reads from a folder, by name."""
    try:
        files = sorted(Path(entry) for entry in os.scandir(path)) if path.is_dir() else [path]
        return {file.name: sha256_of_file(file) for file in files}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
